"""Laying what somebody says over a preset, and a preset over the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from itnet_core import ConfigError, ITNetError
from itnet_core.plugin.config import parse
from itnet_core.plugin.specs import Kind
from itnet_registry.errors import AmbiguousNameError, PluginError, UnknownNameError
from itnet_registry.model_config import ComponentRef, ModelConfig
from itnet_registry.names import canonical
from itnet_registry.registry import Registry

DEFAULTS = ModelConfig(
    ffn_ratio=4.5,
    dropout=0.0,
    position="auto",
    scan="auto",
    kernel=ComponentRef(name="itnet-core/mlp"),
    sampler=ComponentRef(name="itnet-core/full"),
    evaluator=ComponentRef(name="itnet-core/auto"),
)

_KINDS: dict[str, Kind] = {
    "kernel": "kernel",
    "sampler": "sampler",
    "evaluator": "evaluator",
    "encoder": "encoder",
    "head": "head",
    "task": "task",
    "encoders": "encoder",
    "heads": "head",
    "tasks": "task",
}
_OTHER_FORM = {"encoder": "encoders", "head": "heads", "task": "tasks"}
_OTHER_FORM |= {plural: singular for singular, plural in _OTHER_FORM.items()}


def lay(registry: Registry, config: Mapping[str, Any], place: str) -> ModelConfig:
    """Return `config` over its preset, over those that the preset builds on, over the defaults.

    - A number replaces a number.
    - A reference to the component that is there already lays its options over that one's, mapping by mapping; so does a
      reference without a name. A reference to another component replaces it with all its options.
    - `encoder` replaces `encoders`, and the other way round; so do `head` and `task`.

    Raises:
        ConfigError: a field is unknown or of a wrong value; the path begins with `place`.
        UnknownNameError, AmbiguousNameError: the preset's name stands for nothing, or for several.
        PluginError: the preset's own configuration is not one.
    """
    said = parse(ModelConfig, config, place)
    for singular in ("encoder", "head", "task"):
        if getattr(said, singular) is not None and getattr(said, _OTHER_FORM[singular]) is not None:
            raise ConfigError(
                f"{place}.{singular}",
                found=f"both {singular} and {_OTHER_FORM[singular]}",
                expected=f"{singular} for a model of one modality, {_OTHER_FORM[singular]} for several",
            )
    for pin in said.prefer:
        if not any(component.id == canonical(pin) for component in registry.components()):
            raise ConfigError(f"{place}.prefer", found=f"{pin!r}", expected="canonical ids of installed components")
    layers = [DEFAULTS, said]
    if said.preset is not None:
        layers[1:1] = _preset_layers(registry, said.preset, f"{place}.preset", said.prefer)
    fields: dict[str, Any] = {}
    for layer in layers:
        _lay_over(registry, fields, layer, said.prefer)
    return ModelConfig.model_construct(**{**fields, "preset": None, "prefer": said.prefer})


def _preset_layers(
    registry: Registry, name: str, place: str, prefer: Sequence[str], above: tuple[str, ...] = ()
) -> list[ModelConfig]:
    """Return the configuration of a preset, after those of the presets that it builds on."""
    preset = registry.preset(name, place=place, prefer=prefer)
    try:
        config = parse(ModelConfig, preset.spec.config, preset.id)
        if preset.id in above:
            found = " which builds on ".join([*above, preset.id])
            raise ConfigError(preset.id, found=found, expected="a preset that does not build on itself")
        if config.prefer:
            raise ConfigError(preset.id, found="prefer in a preset", expected="none")
        if config.preset is None:
            return [config]
        return [*_preset_layers(registry, config.preset, preset.id, prefer, (*above, preset.id)), config]
    except ITNetError as error:
        raise PluginError(
            f"{place}: preset {preset.id} of {preset.source.title}",
            found=str(error),
            expected="a model's configuration",
        ) from error


def _lay_over(registry: Registry, fields: dict[str, Any], layer: ModelConfig, prefer: Sequence[str]) -> None:
    for field in ModelConfig.model_fields:
        value, below = getattr(layer, field), fields.get(field)
        if value is None or field in ("preset", "prefer"):
            continue
        if field in _OTHER_FORM:
            fields.pop(_OTHER_FORM[field], None)
        if isinstance(value, ComponentRef):
            value = over(registry, _KINDS[field], below, value, prefer)
        elif isinstance(value, dict):
            below = below or {}
            laid = {
                key: each if each is None else over(registry, _KINDS[field], below.get(key), each, prefer)
                for key, each in value.items()
            }
            value = {**below, **laid} if value else {}
        fields[field] = value


def over(
    registry: Registry, kind: Kind, below: ComponentRef | None, above: ComponentRef, prefer: Sequence[str]
) -> ComponentRef:
    """Return `above` laid over `below` by the rule for references in `lay`."""
    if below is None or (above.name is not None and not _same(registry, kind, below.name, above.name, prefer)):
        return above
    return ComponentRef(**{**deep(below.options, above.options), "name": above.name or below.name})


def deep(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `above` laid over `below`: mappings are laid over mappings, anything else replaces what is there."""
    laid = dict(below)
    for key, value in above.items():
        there = laid.get(key)
        laid[key] = deep(there, value) if isinstance(there, Mapping) and isinstance(value, Mapping) else value
    return laid


def _same(registry: Registry, kind: Kind, below: str | None, above: str, prefer: Sequence[str]) -> bool:
    if below is None or below == above:
        return True
    try:
        ids = {registry.component(kind, name, prefer=prefer).id for name in (below, above)}
    except (UnknownNameError, AmbiguousNameError):  # the name that remains is looked up again, with its place
        return False
    return len(ids) == 1
