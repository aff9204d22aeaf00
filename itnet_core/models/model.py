"""The model: an encoder and a head for each modality, around one trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Literal, cast, overload

import torch
from torch import Tensor, nn

from itnet_core.models.batches import move
from itnet_core.models.block import Block
from itnet_core.models.encoder import Encoder
from itnet_core.models.head import ClassificationHead, Head, mean
from itnet_core.models.trunk import Trunk
from itnet_core.operator.field import Field
from itnet_core.operator.integral_operator import IntegralOperator
from itnet_core.operator.kernel import Kernel
from itnet_core.plugin.errors import ConfigError


class ITNetModel(nn.Module):
    """Encoders and heads by modality, around one trunk that all modalities share.

    Example:
        >>> from itnet_core.models.encoder import FieldEncoder
        >>> from itnet_core.models.head import ClassificationHead
        >>> trunk = Trunk(Block(IntegralOperator(8, MLPKernel(8))) for _ in range(2))
        >>> encoders, heads = {"field": FieldEncoder(8, channels=3)}, {"field": ClassificationHead(8, classes=10)}
        >>> model = ITNetModel(encoders, trunk, heads)
        >>> model(Field(torch.randn(2, 5, 3), torch.rand(2, 5, 4))).shape
        torch.Size([2, 10])
        >>> model.replace_head(3)
        >>> model.num_classes
        3

    Args:
        encoders: encoders by modality.
        trunk: the blocks.
        heads: heads by modality, a subset of the modalities of `encoders`; a model without heads gives features.
        config: the JSON-native configuration that the model was built from, saved with its weights.

    Raises:
        ConfigError: `encoders` is empty, a head has no encoder of its modality, a modality cannot be the name of a
            module, or a kernel reads attributes of points that an encoder does not declare.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        trunk: Trunk,
        heads: Mapping[str, Head],
        *,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not encoders or not set(heads) <= set(encoders):
            raise ConfigError(
                "ITNetModel",
                found=f"encoders {sorted(encoders)} and heads {sorted(heads)}",
                expected="at least one encoder, and an encoder for each head",
            )
        _check_attributes(encoders, trunk)
        try:
            self.encoders = nn.ModuleDict(encoders)
            self.trunk = trunk
            self.heads = nn.ModuleDict(heads)
        except KeyError as error:
            found = f"a modality that cannot be a module's name ({error.args[0]})"
            raise ConfigError("ITNetModel.encoders", found=found, expected="another name for it") from error
        self.config = config

    def forward(self, inputs: Any, modality: str | None = None) -> Tensor:
        """Predict for a batch of one modality; without a head for it, return its pooled features, (B, width).

        Args:
            inputs: the input of the modality's encoder.
            modality: the encoder and head to use; optional for a model of one modality.

        Raises:
            ConfigError: the model has no such modality.
        """
        modality = self._modality(modality)
        if modality not in self.heads:
            return self.features(inputs, modality, pooled=True)
        return self.heads[modality](self.features(inputs, modality))

    @overload
    def features(
        self, inputs: Any, modality: str | None = None, *, pooled: Literal[False] = False, blocks: None = None
    ) -> Field: ...
    @overload
    def features(
        self, inputs: Any, modality: str | None = None, *, pooled: Literal[True], blocks: None = None
    ) -> Tensor: ...
    @overload
    def features(
        self, inputs: Any, modality: str | None = None, *, pooled: Literal[False] = False, blocks: Sequence[int]
    ) -> list[Field]: ...
    @overload
    def features(
        self, inputs: Any, modality: str | None = None, *, pooled: Literal[True], blocks: Sequence[int]
    ) -> list[Tensor]: ...
    def features(
        self,
        inputs: Any,
        modality: str | None = None,
        *,
        pooled: bool = False,
        blocks: Sequence[int] | None = None,
    ) -> Field | Tensor | list[Field] | list[Tensor]:
        """Return the field of the trunk for a batch of one modality, or the fields after some of its blocks.

        Example:
            >>> trunk = Trunk(Block(IntegralOperator(8, MLPKernel(8))) for _ in range(3))
            >>> model = ITNetModel({"field": FieldEncoder(8, channels=3)}, trunk, {})
            >>> field = Field(torch.randn(2, 5, 3), torch.rand(2, 5, 4))
            >>> model.features(field)
            Field(B=2, N=5, d=8, p=4)
            >>> [values.shape for values in model.features(field, pooled=True, blocks=[0, -1])]
            [torch.Size([2, 8]), torch.Size([2, 8])]

        Args:
            inputs: as for `forward`.
            modality: as for `forward`.
            pooled: return the means of the fields under their measures, (B, width), instead of the fields.
            blocks: numbers of blocks, from 0; negative ones count from the end. Their fields are those before the
                trunk's last norm, in this order.

        Raises:
            ConfigError: the model has no such modality, or no such block.
        """
        encoded = self.encoders[self._modality(modality)](inputs)
        if blocks is None:
            field = self.trunk(encoded)
            return mean(field) if pooled else field
        count = len(self.trunk.blocks)
        if not all(-count <= number < count for number in blocks):
            expected = f"numbers of blocks, from {-count} to {count - 1}"
            raise ConfigError("ITNetModel.features(blocks)", found=repr(blocks), expected=expected)
        fields = self.trunk.fields(encoded, [number % count for number in blocks])[:-1]
        return [mean(field) for field in fields] if pooled else fields

    def move_inputs(self, inputs: Any, device: torch.device | str, modality: str | None = None) -> Any:
        """Return a batch of one modality on a device, as its encoder maps it (`Encoder.map_tensors`).

        Raises:
            ConfigError: the model has no such modality.
        """
        encoder = cast(Encoder, self.encoders[self._modality(modality)])
        return move(inputs, device, encoder.map_tensors)

    @property
    def num_classes(self) -> int:
        """The number of classes of the model's one classification head.

        Raises:
            ConfigError: the model has no classification head, or several.
        """
        heads = [head for head in self.heads.values() if isinstance(head, ClassificationHead)]
        if len(heads) != 1:
            raise ConfigError(
                "ITNetModel.num_classes", found=f"{len(heads)} classification heads", expected="one of them"
            )
        return int(heads[0].config.classes)

    def replace_head(self, classes: int, modality: str | None = None) -> None:
        """Replace a head, or add one, by a new classification head, in the configuration too.

        `itnet_registry.replace_head` replaces a head by one of any other kind.

        Args:
            classes: number of classes.
            modality: the head's modality; optional for a model of one modality.

        Raises:
            ConfigError: the number is not positive, or the model has no such modality.
        """
        modality = self._modality(modality)
        head = ClassificationHead(self.trunk.out_dim, classes=classes)
        self.heads[modality] = head.to(next(self.trunk.parameters())).train(self.training)
        if self.config is not None:
            reference = {"name": "itnet-core/classify", **head.config.model_dump(mode="json")}
            self.update_config({"heads": {**self.config["heads"], modality: reference}})

    def replace_kernels(self, name: str, kernels: Mapping[str, Kernel]) -> None:
        """Replace the kernels of the model's operators, in the configuration too, so that checkpoints hold them.

        Args:
            name: canonical id of the new kernels, such as `"itnet-kernels/skeleton"`.
            kernels: new kernels by the path of their operator in the model (`trunk.blocks.0.operator`). All blocks of
                an entry of the configuration's `trunk` get kernels of one configuration, or none of them does.

        Raises:
            ConfigError: a path is not that of a block's operator, or an entry's kernels are incomplete or differ.
        """
        entries = self.operator_paths()
        configs = [[kernels[path].config if path in kernels else None for path in paths] for paths in entries]
        alike = all(config == first for first, *others in configs for config in others)
        if not alike or not kernels.keys() <= {path for paths in entries for path in paths}:
            raise ConfigError(
                "ITNetModel.replace_kernels",
                found=f"kernels for {sorted(kernels)}",
                expected=f"kernels of one configuration for all operators of an entry, or for none: {entries}",
            )
        for path, kernel in kernels.items():
            cast(IntegralOperator, self.get_submodule(path)).kernel = kernel
        if self.config is not None:
            trunk = [
                entry if config is None else {**entry, "kernel": {"name": name, **config.model_dump(mode="json")}}
                for entry, (config, *_) in zip(self.config["trunk"], configs, strict=True)
            ]
            self.update_config({"trunk": trunk})

    def update_config(self, sections: Mapping[str, Any]) -> None:
        """Replace sections of the configuration after a change of the model; without a configuration, do nothing."""
        if self.config is not None:
            self.config = {**self.config, **sections}

    def operator_paths(self) -> list[list[str]]:
        """Return, for each entry of the configuration's `trunk`, the paths of its operators, whose kernels are alike.

        Without a configuration, every block counts as an entry.
        """
        paths = [f"trunk.blocks.{number}.operator" for number in range(len(self.trunk.blocks))]
        repeats = [1] * len(paths) if self.config is None else [entry["repeat"] for entry in self.config["trunk"]]
        blocks = iter(paths)
        return [list(islice(blocks, repeat)) for repeat in repeats]

    def _modality(self, modality: str | None) -> str:
        names = list(self.encoders)
        if modality is None and len(names) == 1:
            return names[0]
        if modality not in names:
            raise ConfigError("ITNetModel(modality)", found=repr(modality), expected=f"one of {', '.join(names)}")
        return modality


def _check_attributes(encoders: Mapping[str, Encoder], trunk: Trunk) -> None:
    """Check that encoders declare what the kernels read of points."""
    kernels = [kernel for block in trunk.blocks for kernel in cast(Block, block).operator.kernel.summands]
    for modality, encoder in encoders.items():
        declared = encoder.attributes
        if declared is None:
            continue
        for kernel in kernels:
            missing = [name for name in kernel.reads if name not in declared]
            if missing:
                raise ConfigError(
                    f"encoders.{modality}",
                    found=f"{type(encoder).__name__}, whose points have {', '.join(declared) or 'no attributes'}",
                    expected=f"an encoder that declares {missing[0]!r}, which {type(kernel).__name__} reads",
                )
