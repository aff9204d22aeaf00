"""Construction of models and components from complete configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from itnet_core import (
    ComponentRef,
    ConfigError,
    Configured,
    Encoder,
    Head,
    IntegralOperator,
    ITNetModel,
    ShapeError,
    Trunk,
)
from itnet_core.plugin.config import parse
from itnet_core.plugin.specs import Kind
from itnet_registry.build.evaluators import evaluator_arguments
from itnet_registry.build.memory import MemoryLimit
from itnet_registry.config.model_config import CompleteModelConfig
from itnet_registry.errors import within
from itnet_registry.plugins.registry import PluginRegistry


def build(
    registry: PluginRegistry, config: CompleteModelConfig, place: str = "model", memory: MemoryLimit | None = None
) -> ITNetModel:
    """Build a model of a complete configuration, with random weights; no file is read.

    Args:
        registry: provides the components.
        config: the configuration; it becomes `model.config`.
        place: the configuration's name in errors.
        memory: limit of the model's memory; by default the machine's memory.
    """
    with memory or MemoryLimit.of_the_machine() as memory:
        return Builder(registry, config, place).model(memory)


def build_component(
    registry: PluginRegistry, kind: Kind, reference: ComponentRef, *channels: int, place: str | None = None
) -> Any:
    """Build a component of a complete reference; its configuration is validated, and no file is read for it.

    Args:
        registry: provides the component.
        kind: one of `itnet_core.plugin.specs.KINDS`.
        reference: name and options.
        channels: the number of channels, for the kinds that take one.
        place: path of the reference, for errors.
    """
    place = kind if place is None else place
    component = registry.component(kind, reference.name, place=place)
    with within(place):
        cls = component.load()
    config = parse(cls.Config, reference.options, place)
    with component.running(place):
        return cls(*channels, config, **evaluator_arguments(registry, cls))


def load_pretrained(module: nn.Module, place: str) -> None:
    """Load the pretrained weights that the configurations of a module and its parts name.

    Raises:
        ITNetError: weights cannot be read, or do not fit; its place begins with the path of the part.
    """
    for name, part in module.named_modules():
        if isinstance(part, Configured):
            with within(".".join(filter(None, (place, name)))):
                part.load_pretrained()


def config_of(model: ITNetModel) -> CompleteModelConfig:
    """Return the configuration that a model was built from.

    Raises:
        ConfigError: the model has none, or not a complete one.
    """
    if not isinstance(model.config, Mapping):
        raise ConfigError(
            "ITNetModel.config",
            found=repr(model.config),
            expected="the configuration that it was built from",
            hint="Models from create_model and load_model have one.",
        )
    return parse(CompleteModelConfig, model.config, "ITNetModel.config")


@dataclass(frozen=True)
class Builder:
    """Builds the parts of a model of a complete configuration."""

    registry: PluginRegistry
    """Provides the components."""
    config: CompleteModelConfig
    """The configuration."""
    place: str = "model"
    """The configuration's name in errors."""

    def model(self, memory: MemoryLimit) -> ITNetModel:
        """Build the model."""
        config = self.config
        encoders: dict[str, Encoder] = {
            modality: self._part("encoder", reference, f"encoders.{modality}", config.width)
            for modality, reference in config.encoders.items()
        }
        before = memory.used
        operators = [self.operator()]
        with within(f"{self.place}.depth"):  # check all blocks before building them, which takes long
            memory.check_fits(memory.used - before, config.depth - 1)
        operators += [self.operator() for _ in range(config.depth - 1)]
        heads = {modality: self.head(modality) for modality in config.heads}
        return ITNetModel(encoders, self.trunk(operators), heads, config=config.model_dump())

    def trunk(self, operators: Sequence[IntegralOperator]) -> Trunk:
        """Build the trunk of these operators."""
        config = self.config
        with within(self.place):
            return Trunk(
                operators,
                ffn_ratio=config.ffn_ratio,
                dropout=config.dropout,
                position=config.position,
                scan=config.scan,
            )

    def operator(self) -> IntegralOperator:
        """Build the operator of one block."""
        config = self.config
        kernel = self._part("kernel", config.kernel, "kernel", config.width)
        sampler = self._part("sampler", config.sampler, "sampler", config.width)
        evaluator = self._part("evaluator", config.evaluator, "evaluator")
        try:
            with within(f"{self.place}.width"):
                return IntegralOperator(config.width, kernel, sampler, evaluator)
        except ShapeError as error:
            raise ConfigError(
                f"{self.place}.kernel",
                found=error.found,
                expected=error.expected,
                hint="Choose another width, or other heads.",
            ) from error

    def head(self, modality: str) -> Head:
        """Build the head of a modality."""
        head: Head = self._part("head", self.config.heads[modality], f"heads.{modality}", self.config.width)
        return head

    def _part(self, kind: Kind, reference: ComponentRef, field: str, *channels: int) -> Any:
        return build_component(self.registry, kind, reference, *channels, place=f"{self.place}.{field}")
