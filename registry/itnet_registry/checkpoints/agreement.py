"""Check of a model against its configuration, since a checkpoint of a model that differs could not be loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import count
from typing import Any

import torch
from torch import Size, nn

from itnet_core import ComponentConfig, ComponentRef, ITNetModel
from itnet_core.plugin.config import parse
from itnet_core.plugin.specs import Kind
from itnet_registry.build.builder import build
from itnet_registry.config.model_config import CompleteModelConfig
from itnet_registry.errors import CheckpointError
from itnet_registry.plugins.registry import PluginRegistry

_HINTS: dict[Kind, str] = {
    "encoder": "Create another model by create_model.",
    "head": "Use replace_head, which changes both.",
    "kernel": "Use replace_operator, which changes both.",
    "sampler": "Use use_sampler, which changes both.",
}


def check_agreement(registry: PluginRegistry, model: ITNetModel, config: CompleteModelConfig) -> None:
    """Check that a model's parts are those of its configuration, and its tensors those of a model built from it.

    Evaluators may differ: they compute the same integral.

    Raises:
        CheckpointError: a part or a tensor differs; the error names the first part, or the first tensors.
    """
    for place, kind, reference, module in _parts(model, config):
        _check_part(registry, place, kind, reference, module)
    actual = {name: tensor.shape for name, tensor in model.state_dict().items()}
    expected = _shapes(registry, json.dumps(config.model_dump(), sort_keys=True))
    wrong = [name for name in {**expected, **actual} if actual.get(name) != expected.get(name)]
    if wrong:
        raise CheckpointError(
            "ITNetModel.state_dict()",
            found="; ".join(f"{name} {_describe(actual.get(name))}" for name in wrong[:3])
            + ("; …" if wrong[3:] else ""),
            expected="as in its config, " + "; ".join(_describe(expected.get(name)) for name in wrong[:3]),
            hint="Change a model with replace_head and replace_operator, which change its config too.",
        )


def _parts(
    model: ITNetModel, config: CompleteModelConfig
) -> Iterator[tuple[str, Kind, ComponentRef, nn.Module | None]]:
    """Yield the place, the kind, the reference and the module of each part but the evaluators."""
    encoders: Mapping[str, nn.Module] = dict(model.encoders.items())
    heads: Mapping[str, nn.Module] = dict(model.heads.items())
    for modality, reference in config.encoders.items():
        yield f"ITNetModel.encoders[{modality!r}]", "encoder", reference, encoders.get(modality)
    for modality, reference in config.heads.items():
        yield f"ITNetModel.heads[{modality!r}]", "head", reference, heads.get(modality)
    for number, (entry, block) in enumerate(zip(config.blocks(), model.trunk.blocks, strict=False)):
        operator: Any = block.operator
        place, expected = f"ITNetModel.trunk.blocks[{number}].operator", config.trunk[entry]
        yield f"{place}.kernel", "kernel", expected.kernel, operator.kernel
        yield f"{place}.sampler", "sampler", expected.sampler, operator.sampler


def _check_part(
    registry: PluginRegistry, place: str, kind: Kind, reference: ComponentRef, module: nn.Module | None
) -> None:
    cls = registry.component(kind, reference.name, place=place).load()
    if not isinstance(module, cls):
        actual = "nothing" if module is None else type(module).__name__
        raise CheckpointError(place, found=actual, expected=f"{reference.name}, as in its config", hint=_HINTS[kind])
    config = getattr(module, "config", None)
    if not isinstance(config, ComponentConfig):
        return
    options, expected = config.model_dump(mode="json"), reference.options
    if options != expected:
        expected = parse(cls.Config, expected, place).model_dump(mode="json")
    wrong = [name for name in {**expected, **options} if options.get(name) != expected.get(name)]
    if wrong:
        raise CheckpointError(
            place,
            found=", ".join(f"{name}={options.get(name)!r:.60}" for name in wrong),
            expected=f"{', '.join(f'{name}={expected.get(name)!r:.60}' for name in wrong)}, as in its config",
            hint=_HINTS[kind],
        )


@lru_cache(maxsize=8)
def _shapes(registry: PluginRegistry, config: str) -> Mapping[str, Size]:
    """Return the shapes of the tensors of a model built from a configuration in JSON.

    Two blocks of each entry are built, since later ones are like the second, and the state of the random generators is
    kept.
    """
    complete = parse(CompleteModelConfig, json.loads(config), "ITNetModel.config")
    with torch.random.fork_rng(devices=[]):
        built = build(registry, complete.with_repeats(2))
    shapes = {name: tensor.shape for name, tensor in built.state_dict().items() if not name.startswith("trunk.blocks.")}
    blocks, numbers = iter(built.trunk.blocks), count()
    for entry in complete.trunk:
        first = next(blocks)
        second = first if entry.repeat == 1 else next(blocks)
        for block in [first, *[second] * (entry.repeat - 1)]:
            number = next(numbers)
            shapes |= {f"trunk.blocks.{number}.{name}": tensor.shape for name, tensor in block.state_dict().items()}
    return shapes


def _describe(shape: Size | None) -> str:
    return "absent" if shape is None else str(tuple(shape))
