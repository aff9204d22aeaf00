"""Building models from their complete configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from itnet_core import ComponentRef as CompleteReference
from itnet_core import ConfigError, Configured, Encoder, Head, IntegralOperator, ITNetModel, ShapeError, Trunk
from itnet_core.plugin.config import parse
from itnet_core.plugin.specs import Kind
from itnet_registry.automatic import offered
from itnet_registry.complete import at, built, complete
from itnet_registry.memory import MemoryLimit
from itnet_registry.model_config import CompleteModelConfig
from itnet_registry.registry import Registry


def create_model(registry: Registry, preset: str | None, overrides: Mapping[str, Any]) -> ITNetModel:
    """Return a new model, with its complete configuration as `model.config`.

    `create_model(registry, "itnet-nano", {"encoder": "patch", "head": {"name": "classify", "classes": 10}})`. The
    fields are those of `ModelConfig`; `itnet_registry.layers.lay` says how they are laid over the preset.

    Raises:
        As `itnet_registry.complete.complete` does; ConfigError also where width and heads do not fit, or the
            sizes do not fit into the machine's memory.
    """
    said = dict(overrides) if preset is None else {**overrides, "preset": preset}
    model = build(registry, complete(registry, said))
    for module in model.modules():
        if isinstance(module, Configured):
            module.load_pretrained()
    return model


def build(
    registry: Registry, config: CompleteModelConfig, place: str = "model", memory: MemoryLimit | None = None
) -> ITNetModel:
    """Return a new model of exactly this configuration, within a limit, by default the machine's memory."""
    with memory or MemoryLimit.of_the_machine() as memory:
        return Builder(registry, config, place).model(memory)


def config_of(model: ITNetModel) -> CompleteModelConfig:
    """Return the configuration that a model was assembled from.

    Raises:
        ConfigError: it has none, or not a complete one.
    """
    if not isinstance(model.config, Mapping):
        raise ConfigError(
            "ITNetModel.config",
            found=repr(model.config),
            expected="the configuration that it was assembled from",
            hint="Models from create_model and load_model have one.",
        )
    return parse(CompleteModelConfig, model.config, "ITNetModel.config")


@dataclass(frozen=True)
class Builder:
    """Builds the parts of a model of a complete configuration; `place` is how errors call the configuration."""

    registry: Registry
    config: CompleteModelConfig
    place: str = "model"

    def model(self, memory: MemoryLimit) -> ITNetModel:
        """Return the whole model."""
        config = self.config
        encoders: dict[str, Encoder] = {
            modality: self._new("encoder", reference, f"encoders.{modality}", config.width)
            for modality, reference in config.encoders.items()
        }
        before = memory.spent
        operators = [self.operator()]
        with at(f"{self.place}.depth"):  # refused here, not when so many are there that the next does not fit
            memory.afford(memory.spent - before, config.depth - 1)
        operators += [self.operator() for _ in range(config.depth - 1)]
        heads = {modality: self.head(modality) for modality in config.heads}
        return ITNetModel(encoders, self.trunk(operators), heads, config=config.model_dump())

    def trunk(self, operators: Sequence[IntegralOperator]) -> Trunk:
        """Return the trunk of these operators."""
        config = self.config
        with at(self.place):
            return Trunk(
                operators,
                ffn_ratio=config.ffn_ratio,
                dropout=config.dropout,
                position=config.position,
                scan=config.scan,
            )

    def operator(self) -> IntegralOperator:
        """Return the operator of one block."""
        config = self.config
        kernel = self._new("kernel", config.kernel, "kernel", config.width)
        sampler = self._new("sampler", config.sampler, "sampler", config.width)
        evaluator = offered(self.registry, self._new("evaluator", config.evaluator, "evaluator"))
        try:
            with at(f"{self.place}.width"):
                return IntegralOperator(config.width, kernel, sampler, evaluator)
        except ShapeError as error:
            raise ConfigError(
                f"{self.place}.kernel",
                found=error.found,
                expected=error.expected,
                hint="Choose another width, or other heads.",
            ) from error

    def head(self, modality: str) -> Head:
        """Return the head of a modality."""
        head: Head = self._new("head", self.config.heads[modality], f"heads.{modality}", self.config.width)
        return head

    def _new(self, kind: Kind, reference: CompleteReference, where: str, *channels: int) -> Any:
        place = f"{self.place}.{where}"
        component = self.registry.component(kind, reference.name, place=place)
        with at(place):
            cls = component.load()
        return built(component, lambda: cls(*channels, parse(cls.Config, reference.options, place)), place)
