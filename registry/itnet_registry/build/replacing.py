"""Replacement of a model's head, kernel, sampler or evaluator, in the model and in its configuration."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar, cast

from torch import nn

from itnet_core import Block, ComponentRef, ConfigError, IntegralOperator, ITNetModel, Trunk
from itnet_core.plugin.config import parse
from itnet_core.plugin.specs import Kind
from itnet_registry.build.builder import Builder, build_component, config_of, load_pretrained
from itnet_registry.build.memory import MemoryLimit
from itnet_registry.config.merge import merge_reference
from itnet_registry.config.model_config import CompleteModelConfig, PartialRef
from itnet_registry.config.references import LoadedRef, complete_part
from itnet_registry.config.resolve import resolve
from itnet_registry.plugins.registry import PluginRegistry

Options = str | Mapping[str, Any]
M = TypeVar("M", bound=nn.Module)


def replace_head(registry: PluginRegistry, model: ITNetModel, head: Options, modality: str | None = None) -> None:
    """Replace a head; see `itnet_registry.Registry.replace_head`."""
    config = config_of(model)
    modalities = list(config.encoders)
    if modality not in modalities and not (modality is None and len(modalities) == 1):
        raise ConfigError("replace_head(modality)", found=repr(modality), expected=f"one of {', '.join(modalities)}")
    modality = modalities[0] if modality is None else modality
    options = _as_options(config)
    options["heads"][modality] = _merged(registry, "head", config.heads.get(modality), head).model_dump()
    new_config = resolve(registry, options)
    with MemoryLimit.of_the_machine():
        module = Builder(registry, new_config).head(modality)
    load_pretrained(module, f"model.heads.{modality}")
    model.heads[modality] = _move_to(model.trunk, module)
    model.update_config(new_config.model_dump())


def replace_operator(
    registry: PluginRegistry,
    model: ITNetModel,
    *,
    kernel: Options | None = None,
    sampler: Options | None = None,
    evaluator: Options | None = None,
    blocks: Collection[int] | None = None,
) -> None:
    """Replace the operators of blocks; see `itnet_registry.Registry.replace_operator`."""
    config = config_of(model)
    chosen = range(len(config.trunk)) if blocks is None else blocks
    if not chosen or not {*range(len(config.trunk))}.issuperset(chosen):
        expected = f"numbers of entries of the trunk, from 0 to {len(config.trunk) - 1}"
        raise ConfigError("replace_operator(blocks)", found=repr(blocks), expected=expected)
    parts: dict[Kind, Options | None] = {"kernel": kernel, "sampler": sampler, "evaluator": evaluator}
    options = _as_options(config)
    for number in chosen:
        options["trunk"][number] |= {
            kind: _merged(registry, kind, getattr(config.trunk[number], kind), part).model_dump()
            for kind, part in parts.items()
            if part is not None
        }
    new_config = resolve(registry, options)
    if [entry.kernel.name for entry in new_config.trunk] != [entry.kernel.name for entry in config.trunk]:
        position = "auto" if config.position == "none" else config.position
        new_config = resolve(registry, {**options, "position": position, "scan": "auto"})
    with MemoryLimit.of_the_machine() as memory:
        trunk = Builder(registry, new_config).trunk(memory)
    load_pretrained(trunk, "model.trunk")
    for number, block, new in zip(config.blocks(), _blocks(model.trunk), _blocks(trunk), strict=True):
        if number in chosen:
            _keep_weights(new.operator, block.operator)
            block.operator = _move_to(model.trunk, new.operator)
    if model.trunk.position is None and trunk.position is not None:
        model.trunk.position = _move_to(model.trunk, trunk.position)
    model.trunk.scan = trunk.scan
    model.update_config(new_config.model_dump())


def use_sampler(registry: PluginRegistry, model: ITNetModel, sampler: Options) -> None:
    """Replace the sampler of all operators; see `itnet_registry.Registry.use_sampler`."""
    blocks, config = _blocks(model.trunk), None if model.config is None else config_of(model)
    numbers = [0] * len(blocks) if config is None else list(config.blocks())
    present = [None] if config is None else [entry.sampler for entry in config.trunk]
    merged = [_merged(registry, "sampler", reference, sampler) for reference in present]
    parts = [LoadedRef.of(registry, "sampler", reference, "sampler") for reference in merged]
    references = [complete_part(registry, part)[0] for part in parts]
    for number, block in zip(numbers, blocks, strict=True):
        operator = block.operator
        new = build_component(registry, "sampler", references[number], operator.dim)
        load_pretrained(new, "sampler")
        _load_if_alike(new, operator.sampler)
        operator.sampler = _move_to(operator, new)
    if config is not None:
        entries = zip(config.trunk, references, strict=True)
        trunk = [{**entry.model_dump(), "sampler": reference.model_dump()} for entry, reference in entries]
        model.update_config({"trunk": trunk})


def _as_options(config: CompleteModelConfig) -> dict[str, Any]:
    """Return a complete configuration as a user writes it: `null` for a modality without a head."""
    options = config.model_dump()
    return {**options, "heads": {**dict.fromkeys(config.encoders), **options["heads"]}}


def _merged(registry: PluginRegistry, kind: Kind, present: ComponentRef | None, options: Options) -> PartialRef:
    """Merge a name or options into the reference that a model has."""
    base = None if present is None else PartialRef(**present.model_dump())
    override = parse(PartialRef, {"name": options} if isinstance(options, str) else options, kind)
    return merge_reference(registry, kind, base, override, ())


def _blocks(trunk: Trunk) -> list[Block]:
    return cast(list[Block], list(trunk.blocks))


def _keep_weights(new: IntegralOperator, old: IntegralOperator) -> None:
    """Load the weights of an operator's modules into those of a new one of the same class and shapes.

    Where a sum gains or loses integrals, those with a kernel of the same configuration keep theirs.
    """
    modules = dict(old.named_children())
    for name, module in new.named_children():
        if type(module) is type(modules.get(name)):
            _load_if_alike(module, modules[name])
    integrals = list(old.summands)
    if len(new.summands) == len(integrals):
        return
    for kernel, *maps in new.summands:
        same = (i for i in integrals if type(i[0]) is type(kernel) and i[0].config == kernel.config)
        if integral := next(same, None):
            integrals.remove(integral)
            for module, learned in zip((kernel, *maps), integral, strict=True):
                _load_if_alike(module, learned)


def _load_if_alike(new: nn.Module, old: nn.Module) -> None:
    """Load a module's state into a new one, if its names and shapes are the same."""
    learned = old.state_dict()
    if {k: v.shape for k, v in learned.items()} == {k: v.shape for k, v in new.state_dict().items()}:
        new.load_state_dict(learned)


def _move_to(present: nn.Module, new: M) -> M:
    """Move a new module to the device, type and mode of a present one."""
    return new.to(next(present.parameters())).train(present.training)
