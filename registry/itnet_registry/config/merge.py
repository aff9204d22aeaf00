"""Merging of user options into a preset, and of the preset into the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from itnet_core import ConfigError, ITNetError
from itnet_core.plugin.config import parse
from itnet_core.plugin.specs import KINDS, Kind
from itnet_registry.config.model_config import ModelConfig, PartialRef
from itnet_registry.errors import AmbiguousNameError, PluginError, UnknownNameError
from itnet_registry.plugins.names import canonical
from itnet_registry.plugins.registry import PluginRegistry

DEFAULTS = ModelConfig(
    ffn_ratio=4.5,
    norm="layer",
    norm_first=True,
    activation="gelu",
    dropout=0.0,
    stochastic_depth=0.0,
    position="auto",
    scan="auto",
    kernel=PartialRef(name="itnet-core/mlp"),
    sampler=PartialRef(name="itnet-core/full"),
    evaluator=PartialRef(name="itnet-core/auto"),
)

_KINDS: dict[str, Kind] = {f"{kind}{plural}": kind for kind in KINDS for plural in ("", "s")}
_PLURALS = {"encoder": "encoders", "head": "heads", "task": "tasks", "depth": "trunk"}
_OTHER_FORM = _PLURALS | {plural: singular for singular, plural in _PLURALS.items()}


def merge(registry: PluginRegistry, config: Mapping[str, Any], place: str) -> ModelConfig:
    """Merge a configuration into its preset, the preset into those that it builds on, and all into the defaults.

    - A number replaces a number.
    - A reference to the same component, or without a name, merges its options, mapping by mapping. A reference to
      another component replaces the component with all its options.
    - `encoder` replaces `encoders`, and vice versa; so do `head`, `task`, and `depth` for `trunk`.

    Raises:
        ConfigError: a field is unknown or of a wrong value; the path begins with `place`.
        UnknownNameError, AmbiguousNameError: no preset has the name, or several do.
        PluginError: the preset's own configuration is invalid.
    """
    user = parse(ModelConfig, config, place)
    for one, several in _PLURALS.items():
        if getattr(user, one) is not None and getattr(user, several) is not None:
            alike = "a model of one modality" if one != "depth" else "blocks that are all alike"
            raise ConfigError(
                f"{place}.{one}", found=f"both {one} and {several}", expected=f"{one} for {alike}, else {several}"
            )
    for pin in user.prefer:
        if not any(component.id == canonical(pin) for component in registry.components()):
            raise ConfigError(f"{place}.prefer", found=f"{pin!r}", expected="canonical ids of installed components")
    presets = [] if user.preset is None else _presets(registry, user.preset, f"{place}.preset", user.prefer)
    fields: dict[str, Any] = {}
    for override in (DEFAULTS, *presets, user):
        _merge_fields(registry, fields, override, user.prefer)
    return ModelConfig.model_construct(**{**fields, "preset": None, "prefer": user.prefer})


def merge_reference(
    registry: PluginRegistry, kind: Kind, base: PartialRef | None, override: PartialRef, prefer: Sequence[str]
) -> PartialRef:
    """Merge a reference into another one of the same kind, by the rule for references in `merge`."""
    if base is None or (override.name is not None and not _is_same(registry, kind, base.name, override.name, prefer)):
        return override
    options = merge_mappings(base.options, override.options)
    return PartialRef(**{**options, "name": override.name or base.name})


def merge_mappings(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings recursively; any other value replaces the one in `base`.

    Example:
        >>> merge_mappings({"heads": 2, "support": {"causal": "t"}}, {"support": {"radius": 0.5}})
        {'heads': 2, 'support': {'causal': 't', 'radius': 0.5}}
    """
    merged = dict(base)
    for key, value in override.items():
        present = merged.get(key)
        if isinstance(present, Mapping) and isinstance(value, Mapping):
            value = merge_mappings(present, value)
        merged[key] = value
    return merged


def _presets(
    registry: PluginRegistry, name: str, place: str, prefer: Sequence[str], above: tuple[str, ...] = ()
) -> list[ModelConfig]:
    """Return the configuration of a preset, after those of the presets that it builds on."""
    preset = registry.preset(name, place=place, prefer=prefer)
    try:
        config = parse(ModelConfig, preset.spec.config, preset.id)
        if preset.id in above:
            chain = " which builds on ".join([*above, preset.id])
            raise ConfigError(preset.id, found=chain, expected="a preset that does not build on itself")
        if config.prefer:
            raise ConfigError(preset.id, found="prefer in a preset", expected="none")
        if config.preset is None:
            return [config]
        return [*_presets(registry, config.preset, preset.id, prefer, (*above, preset.id)), config]
    except ITNetError as error:
        raise PluginError(
            f"{place}: preset {preset.id} of {preset.source.title}",
            found=str(error),
            expected="a model's configuration",
        ) from error


def _merge_fields(
    registry: PluginRegistry, fields: dict[str, Any], override: ModelConfig, prefer: Sequence[str]
) -> None:
    for field in ModelConfig.model_fields:
        value, base = getattr(override, field), fields.get(field)
        if value is None or field in ("preset", "prefer"):
            continue
        if field in _OTHER_FORM:
            fields.pop(_OTHER_FORM[field], None)
        if isinstance(value, PartialRef):
            value = merge_reference(registry, _KINDS[field], base, value, prefer)
        elif isinstance(value, dict):
            base = base or {}
            merged = {
                key: None if ref is None else merge_reference(registry, _KINDS[field], base.get(key), ref, prefer)
                for key, ref in value.items()
            }
            value = {**base, **merged} if value else {}
        fields[field] = value


def _is_same(registry: PluginRegistry, kind: Kind, base: str | None, override: str, prefer: Sequence[str]) -> bool:
    """Whether two names stand for one component."""
    if base is None or base == override:
        return True
    try:
        ids = {registry.component(kind, name, prefer=prefer).id for name in (base, override)}
    except (UnknownNameError, AmbiguousNameError):  # the name that remains is resolved later, with its place
        return False
    return len(ids) == 1
