"""Construction of models and components from complete configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from itnet_core import (
    Block,
    CoarserGrid,
    ComponentRef,
    ConfigError,
    Configured,
    EarlierPoints,
    Encoder,
    FarthestPoints,
    Head,
    IntegralOperator,
    ITNetModel,
    Latents,
    QueryPoints,
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

_OPTIONS = ("ffn_ratio", "norm", "norm_first", "activation", "dropout", "stochastic_depth")
Ends = dict[int | Literal["encoder"] | None, tuple[int, int]]
"""The number and the width of the last block of each entry of a trunk, and of the encoder's field."""


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
        trunk = self.trunk(memory)
        heads = {modality: self.head(modality) for modality in config.heads}
        with within(self.place):
            return ITNetModel(encoders, trunk, heads, config=config.model_dump())

    def trunk(self, memory: MemoryLimit) -> Trunk:
        """Build the trunk."""
        config, blocks, dim = self.config, list[Block](), self.config.width
        ends: Ends = {"encoder": (-1, dim)}
        operators = iter(list(self._operators(memory)))
        for number, entry in enumerate(config.trunk):
            for _ in range(entry.repeat):
                query, query_dim = self._query(number, dim, ends)
                options = {name: getattr(entry, name) for name in _OPTIONS}
                with within(f"{self.place}.trunk.{number}"):
                    blocks.append(Block(next(operators), **options, query=query, query_dim=query_dim))
                dim = entry.width
            ends[number] = len(blocks) - 1, dim
        with within(self.place):
            return Trunk(blocks, position=config.position, scan=config.scan)

    def head(self, modality: str) -> Head:
        """Build the head of a modality."""
        width = self.config.trunk[-1].width
        head: Head = self._part("head", self.config.heads[modality], f"heads.{modality}", width)
        return head

    def _operators(self, memory: MemoryLimit) -> Iterator[IntegralOperator]:
        """Build the operators of all blocks; before an entry's later blocks, check that they fit into memory."""
        dim = self.config.width
        for number, entry in enumerate(self.config.trunk):
            for repetition in range(entry.repeat):
                before = memory.used
                yield self._operator(number, dim)
                with within(f"{self.place}.trunk.{number}.repeat"):
                    memory.check_fits(memory.used - before, entry.repeat - 1 - repetition)
                dim = entry.width

    def _operator(self, number: int, dim: int) -> IntegralOperator:
        """Build an operator of an entry for fields of `dim` channels."""
        entry, place = self.config.trunk[number], f"trunk.{number}"
        kernel = self._part("kernel", entry.kernel, f"{place}.kernel", dim)
        sampler = self._part("sampler", entry.sampler, f"{place}.sampler", dim)
        evaluator = self._part("evaluator", entry.evaluator, f"{place}.evaluator")
        try:
            with within(f"{self.place}.{place}.width"):
                return IntegralOperator(dim, kernel, sampler, evaluator, out_dim=entry.width)
        except ShapeError as error:
            raise ConfigError(
                f"{self.place}.{place}.kernel",
                found=error.found,
                expected=error.expected,
                hint="Choose another width, or other heads.",
            ) from error

    def _query(self, number: int, dim: int, ends: Ends) -> tuple[QueryPoints | None, int]:
        """Return the query points of an entry's blocks, and the channels of the field at them."""
        query = self.config.trunk[number].query
        if query is None:
            return None, dim
        if query.stride is not None or query.grid is not None:
            return CoarserGrid(query.stride, size=query.grid, place=f"model.trunk.{number}.query"), dim
        if query.farthest is not None:
            return FarthestPoints(query.farthest), dim
        if query.latents is not None:
            return Latents(query.latents, dim), dim
        block, width = ends[query.block]
        return EarlierPoints(block), width

    def _part(self, kind: Kind, reference: ComponentRef, field: str, *channels: int) -> Any:
        return build_component(self.registry, kind, reference, *channels, place=f"{self.place}.{field}")
