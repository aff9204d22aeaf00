"""Whether a model still is what its configuration says: if not, its checkpoint could not be loaded, or as another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Size, nn

from itnet_core import ComponentConfig, ComponentRef, ITNetModel
from itnet_core.plugin.config import parse, restoring_checkpoint
from itnet_core.plugin.specs import Kind
from itnet_registry.assemble import build
from itnet_registry.errors import CheckpointError
from itnet_registry.model_config import CompleteModelConfig
from itnet_registry.registry import Registry

_MENDS: dict[Kind, str] = {
    "encoder": "Make another model by create_model.",
    "head": "Use replace_head, which changes both.",
    "kernel": "Use replace_operator, which changes both.",
    "sampler": "Use use_sampler, which changes both.",
}


def check_agreement(registry: Registry, model: ITNetModel, config: CompleteModelConfig) -> None:
    """Check that a model's parts are those of its configuration, and its tensors those of a model that is built of it.

    Evaluators may differ: they compute the same integral.

    Raises:
        CheckpointError: they are not; it names the first part, or the first tensors, that differ.
    """
    for place, kind, reference, module in _parts(model, config):
        _check_part(registry, place, kind, reference, module)
    found = {name: tensor.shape for name, tensor in model.state_dict().items()}
    described = _shapes(registry, json.dumps(config.model_dump(), sort_keys=True))
    wrong = [name for name in {**described, **found} if found.get(name) != described.get(name)]
    if wrong:
        raise CheckpointError(
            "ITNetModel.state_dict()",
            found="; ".join(f"{name} {_shape(found.get(name))}" for name in wrong[:3]) + ("; …" if wrong[3:] else ""),
            expected="as its config describes it, " + "; ".join(_shape(described.get(name)) for name in wrong[:3]),
            hint="Change a model by replace_head and replace_operator, which change its config too.",
        )


def _parts(
    model: ITNetModel, config: CompleteModelConfig
) -> Iterator[tuple[str, Kind, ComponentRef, nn.Module | None]]:
    """Yield each part with a state or a meaning of its own: its place, its kind, what it should be, and what it is."""
    encoders: Mapping[str, nn.Module] = dict(model.encoders.items())
    heads: Mapping[str, nn.Module] = dict(model.heads.items())
    for modality, reference in config.encoders.items():
        yield f"ITNetModel.encoders[{modality!r}]", "encoder", reference, encoders.get(modality)
    for modality, reference in config.heads.items():
        yield f"ITNetModel.heads[{modality!r}]", "head", reference, heads.get(modality)
    for number, block in enumerate(model.trunk.blocks):
        operator: Any = block.operator
        yield f"ITNetModel.trunk.blocks[{number}].operator.kernel", "kernel", config.kernel, operator.kernel
        yield f"ITNetModel.trunk.blocks[{number}].operator.sampler", "sampler", config.sampler, operator.sampler


def _check_part(registry: Registry, place: str, kind: Kind, reference: ComponentRef, module: nn.Module | None) -> None:
    cls = registry.component(kind, reference.name, place=place).load()
    if not isinstance(module, cls):
        found = "nothing" if module is None else type(module).__name__
        raise CheckpointError(place, found=found, expected=f"{reference.name}, as in its config", hint=_MENDS[kind])
    own = getattr(module, "config", None)
    if not isinstance(own, ComponentConfig):
        return
    has, said = own.model_dump(mode="json"), reference.options
    if has != said:
        said = parse(cls.Config, said, place).model_dump(mode="json")
    wrong = [name for name in {**said, **has} if has.get(name) != said.get(name)]
    if wrong:
        raise CheckpointError(
            place,
            found=", ".join(f"{name}={has.get(name)!r:.60}" for name in wrong),
            expected=f"{', '.join(f'{name}={said.get(name)!r:.60}' for name in wrong)}, as in its config",
            hint=_MENDS[kind],
        )


@lru_cache(maxsize=8)
def _shapes(registry: Registry, config: str) -> Mapping[str, Size]:
    """Return the shapes of the tensors that a model of a configuration, given as JSON, has when it is loaded.

    Blocks are alike, so one is built; and what is built draws nothing from the random numbers of whoever saves.
    """
    whole = parse(CompleteModelConfig, json.loads(config), "ITNetModel.config")  # as from a checkpoint's manifest
    with torch.random.fork_rng(devices=[]), restoring_checkpoint():
        state = build(registry, whole.model_copy(update={"depth": 1})).state_dict()
    block = "trunk.blocks.0."
    return {
        name.replace(block, f"trunk.blocks.{number}.", 1): tensor.shape
        for name, tensor in state.items()
        for number in (range(whole.depth) if name.startswith(block) else [0])
    }


def _shape(shape: Size | None) -> str:
    return "absent" if shape is None else str(tuple(shape))
