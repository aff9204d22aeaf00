"""Replacing a model's head or its operators: in the model and in its configuration, so that it can be saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import nn

from itnet_core import ComponentRef as CompleteReference
from itnet_core import ConfigError, IntegralOperator, ITNetModel
from itnet_core.plugin.config import parse
from itnet_core.plugin.specs import Kind
from itnet_registry.assemble import Builder, config_of
from itnet_registry.complete import complete
from itnet_registry.layers import over
from itnet_registry.memory import MemoryLimit
from itnet_registry.model_config import CompleteModelConfig, ComponentRef
from itnet_registry.registry import Registry

Said = str | Mapping[str, Any]
M = TypeVar("M", bound=nn.Module)


def replace_head(registry: Registry, model: ITNetModel, head: Said, modality: str | None = None) -> None:
    """Give a model another head, with new weights, and say so in its configuration.

    `replace_head(registry, model, {"name": "classify", "classes": 5})`, to train it for other classes. Options of a
    head that the model has already are laid over its own.

    Args:
        registry: where heads are looked up.
        model: an assembled model; what else it has stays.
        head: a name, or options with or without a name.
        modality: whose head; may be left out where the model has one modality.

    Raises:
        UnknownNameError, AmbiguousNameError, RequirementError, ComponentError: the head cannot be had.
        ConfigError: its options do not fit, the model has no such modality, or was not assembled from a configuration.
    """
    config = config_of(model)
    modalities = list(config.encoders)
    if modality not in modalities and not (modality is None and len(modalities) == 1):
        raise ConfigError("replace_head(modality)", found=repr(modality), expected=f"one of {', '.join(modalities)}")
    modality = modalities[0] if modality is None else modality
    written = _written(config)
    written["heads"][modality] = _over(registry, "head", config.heads.get(modality), head)
    new = complete(registry, written)
    with MemoryLimit.of_the_machine():
        module = Builder(registry, new).head(modality)
    model.heads[modality] = _at_home(module, model)
    model.config = new.model_dump()


def replace_operator(
    registry: Registry,
    model: ITNetModel,
    *,
    kernel: Said | None = None,
    sampler: Said | None = None,
    evaluator: Said | None = None,
) -> None:
    """Give all blocks of a model another kernel, sampler or evaluator, and say so in its configuration.

    `replace_operator(registry, model, kernel={"support": {"radius": 0.5}})`. Options of a component that the model has
    already are laid over its own. Each part of an operator whose class and shapes stay keeps what it has learned (the
    kernel, the sampler, the maps V, O and W_o); the others are new. Another kernel gets the position encoding and the
    scan order that it needs, as in a new model; an encoding that is there stays.

    Args:
        registry: where components are looked up.
        model: an assembled model; what else it has stays.
        kernel: a name, or options with or without a name; the present kernel by default.
        sampler: the same of the sampler.
        evaluator: the same of the evaluator.

    Raises:
        UnknownNameError, AmbiguousNameError, RequirementError, ComponentError: a component cannot be had.
        ConfigError: options do not fit, or the model was not assembled from a configuration.
    """
    config = config_of(model)
    said: dict[Kind, Said | None] = {"kernel": kernel, "sampler": sampler, "evaluator": evaluator}
    others: dict[str, Any] = {
        kind: _over(registry, kind, getattr(config, kind), each) for kind, each in said.items() if each is not None
    }
    written = {**_written(config), **others}
    new = complete(registry, written)
    if new.kernel.name != config.kernel.name:
        position = "auto" if config.position == "none" else config.position
        new = complete(registry, {**written, "position": position, "scan": "auto"})
    blocks: list[Any] = list(model.trunk.blocks)
    with MemoryLimit.of_the_machine():
        builder = Builder(registry, new)
        operators = [builder.operator() for _ in blocks]
        trunk = builder.trunk(operators)
    for block, operator in zip(blocks, operators, strict=True):
        _keep(operator, block.operator)
        block.operator = _at_home(operator, model)
    if model.trunk.position is None and trunk.position is not None:
        model.trunk.position = _at_home(trunk.position, model)
    model.trunk.scan = trunk.scan
    model.config = new.model_dump()


def _written(config: CompleteModelConfig) -> dict[str, Any]:
    """Return a complete configuration as people would write it: a modality without a head says so."""
    written = config.model_dump()
    return {**written, "heads": {**dict.fromkeys(config.encoders), **written["heads"]}}


def _over(registry: Registry, kind: Kind, there: CompleteReference | None, said: Said) -> dict[str, Any]:
    below = None if there is None else ComponentRef(**there.model_dump())
    above = parse(ComponentRef, {"name": said} if isinstance(said, str) else said, kind)
    return over(registry, kind, below, above, ()).model_dump()


def _keep(new: IntegralOperator, old: IntegralOperator) -> None:
    """Load what the parts of an operator have learned into those of a new one that are alike."""
    parts = dict(old.named_children())
    for name, part in new.named_children():
        if type(part) is type(parts.get(name)):
            keep(part, parts[name])


def keep(new: nn.Module, old: nn.Module) -> None:
    """Load a module's state into a new one, if its names and shapes are the same."""
    learned = old.state_dict()
    if {k: v.shape for k, v in learned.items()} == {k: v.shape for k, v in new.state_dict().items()}:
        new.load_state_dict(learned)


def _at_home(module: M, model: ITNetModel) -> M:
    return module.to(next(model.trunk.parameters())).train(model.training)
