"""Encoder whose layers are integral operators, around any other encoder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from itnet_core import ComponentConfig, ComponentRef, ConfigError, Encoder, Field, RefersTo
from itnet_kernels.conversion.convert import convert_model
from itnet_registry import build_component, complete_reference

logger = logging.getLogger(__name__)


class ConvertedEncoder(Encoder):
    """Another encoder, of any modality, whose layers are converted into integral operators by `convert_model`.

    It computes the same field with the same weights, and has the other encoder's modality and the options that a task
    fixes for it. The conversion runs the other encoder's `example`, if it has one, so that attention that a layer
    writes out is found. Names in the `state_dict` are the other encoder's, so that each of the two loads weights of
    the other (`train.init`). Its modules lie below `encoder`: `train.freeze: [encoder.image.encoder.body]`.

    Example:
        >>> from itnet_registry import create_model
        >>> encoder = {"name": "converted", "encoder": {"name": "timm", "model": "test_resnet", "stage": 2}}
        >>> model = create_model("itnet-nano", encoder=encoder, head={"name": "classify", "classes": 2})
        >>> model.encoders["image"].report.left["encoder.body.maxpool"]
        'MaxPool2d: a maximum is no integral'
        >>> model(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 2])

    Attributes:
        report: the layers that are converted, and those that are left, by their paths. It is logged at level INFO.
    """

    modality = "any"
    mass: ClassVar[float | None] = None

    class Config(ComponentConfig):
        encoder: Annotated[ComponentRef, RefersTo("encoder")]
        """The encoder to convert, with its options."""

        def completed(self) -> Self:
            """Complete the configuration of the encoder."""
            return self.model_copy(update={"encoder": complete_reference("encoder", self.encoder)})

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.encoder: Encoder = build_component("encoder", self.config.encoder, dim, place="ConvertedEncoder.encoder")
        self.attributes = self.encoder.attributes
        self.report = convert_model(self, example=self._example())
        if not self.report.converted:
            left = "; ".join(self.report.left.values()) or ", ".join(self.report.pointwise) or "none"
            raise ConfigError(
                "ConvertedEncoder.encoder",
                found=f"{self.config.encoder.name}, without a layer that can be converted ({left:.300})",
                expected="an encoder with convolutions, average pools, attention or recurrences",
            )
        logger.info("%s: %s", self.config.encoder.name, self.report)
        self.register_state_dict_post_hook(_rename_saved)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_rename_loaded)  # type: ignore[no-untyped-call]

    def _example(self) -> tuple[Any] | None:
        """Return the arguments of a run, or `None`; random numbers that follow, such as the trunk's weights, stay."""
        with torch.random.fork_rng(devices=[]):
            try:
                return (self.encoder.example(),)
            except NotImplementedError:
                return None

    def forward(self, inputs: Any) -> Field:
        """Encode a batch, as the other encoder does."""
        field: Field = self.encoder(inputs)
        return field

    def tensors(self, inputs: Any) -> Any:
        """Return a batch as tensors, as the other encoder does."""
        return self.encoder.tensors(inputs)

    def map_tensors(self, inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
        """Return a batch with mapped tensors, as the other encoder does."""
        return self.encoder.map_tensors(inputs, function)

    def split(self, inputs: Any) -> list[Any]:
        """Return the samples of a batch, as the other encoder does."""
        return self.encoder.split(inputs)

    def labels(self, inputs: Any) -> list[list[str]] | None:
        """Return a name for each point, as the other encoder does."""
        return self.encoder.labels(inputs)

    def images(self, inputs: Any) -> Tensor | None:
        """Return the images of the samples that the converted encoder gives."""
        return self.encoder.images(inputs)

    def example(self) -> Any:
        """Return the other encoder's example."""
        return self.encoder.example()


_PREFIX = "encoder."


def _rename_saved(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Give tensors of a state their names in the other encoder."""
    for name in [name for name in state if name.startswith(prefix + _PREFIX)]:
        state[prefix + name.removeprefix(prefix + _PREFIX)] = state.pop(name)


def _rename_loaded(module: nn.Module, state: dict[str, Any], prefix: str, *others: Any) -> None:
    """Give tensors of a state their names in the converted encoder."""
    for name in [name for name in state if name.startswith(prefix)]:
        state[prefix + _PREFIX + name.removeprefix(prefix)] = state.pop(name)
