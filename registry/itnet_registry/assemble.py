"""Building models from their complete configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from itnet_core.component import Kind
from itnet_core.config import Reference as CompleteReference
from itnet_core.encoder import Encoder
from itnet_core.errors import ConfigError, ShapeError
from itnet_core.head import Head
from itnet_core.model import ITNetModel
from itnet_core.operator import IntegralOperator
from itnet_core.trunk import Trunk
from itnet_registry.automatic import offered
from itnet_registry.complete import at, built, complete
from itnet_registry.memory import MemoryLimit, machine_bytes
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
    return build(registry, complete(registry, said))


def build(
    registry: Registry, config: CompleteModelConfig, place: str = "model", memory: MemoryLimit | None = None
) -> ITNetModel:
    """Return a new model of exactly this configuration, within a limit, by default the machine's memory."""
    with memory or MemoryLimit(machine_bytes(), "this machine's memory") as memory:
        return _build(registry, config, place, memory)


def _build(registry: Registry, config: CompleteModelConfig, place: str, memory: MemoryLimit) -> ITNetModel:

    def new(kind: Kind, reference: CompleteReference, where: str, *channels: int) -> Any:
        component = registry.component(kind, reference.name, place=f"{place}.{where}")
        with at(f"{place}.{where}"):
            cls = component.load()
        return built(component, lambda: cls(*channels, **reference.options), f"{place}.{where}")

    def operator() -> IntegralOperator:
        kernel = new("kernel", config.kernel, "kernel", config.width)
        sampler = new("sampler", config.sampler, "sampler", config.width)
        evaluator = offered(registry, new("evaluator", config.evaluator, "evaluator"))
        try:
            with at(f"{place}.width"):
                return IntegralOperator(config.width, kernel, sampler, evaluator)
        except ShapeError as error:
            raise ConfigError(
                f"{place}.kernel",
                found=error.found,
                expected=error.expected,
                mend="Choose another width, or other heads.",
            ) from error

    encoders: dict[str, Encoder] = {
        modality: new("encoder", reference, f"encoders.{modality}", config.width)
        for modality, reference in config.encoders.items()
    }
    before = memory.spent
    operators = [operator()]
    with at(f"{place}.depth"):  # refused here, not when so many are there that the next does not fit
        memory.afford(memory.spent - before, config.depth - 1)
    operators += [operator() for _ in range(config.depth - 1)]
    heads: dict[str, Head] = {
        modality: new("head", reference, f"heads.{modality}", config.width)
        for modality, reference in config.heads.items()
    }
    with at(place):
        trunk = Trunk(
            operators,
            ffn_ratio=config.ffn_ratio,
            dropout=config.dropout,
            position=config.position,
            scan=config.scan,
        )
    return ITNetModel(encoders, trunk, heads, config=config.model_dump())
