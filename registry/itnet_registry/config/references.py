"""Resolution of references: a name to its component, and its options to a complete configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from itnet_core import ComponentConfig, ComponentRef, ConfigError, RefersTo
from itnet_core.plugin.config import inner_references, parse, referring
from itnet_core.plugin.errors import shown
from itnet_core.plugin.specs import ANY, Kind
from itnet_registry.config.merge import merge_reference
from itnet_registry.config.modalities import installed_names
from itnet_registry.config.model_config import PartialRef
from itnet_registry.errors import ComponentError, within
from itnet_registry.plugins.components import Component
from itnet_registry.plugins.registry import PluginRegistry


@dataclass(frozen=True)
class LoadedRef:
    """A reference to a component as a user writes it, with the component and its class."""

    component: Component
    """The component."""
    cls: type[Any]
    """Its class."""
    reference: PartialRef
    """The reference."""
    place: str
    """Path of the reference in the configuration, for errors."""
    wrapped: tuple[str, LoadedRef] | None = None
    """For an encoder of any modality, the field that refers to the encoder that it wraps, and that encoder."""

    @property
    def modality(self) -> str | None:
        """Modality of an encoder or a task; that of the encoder that it wraps."""
        return self.component.spec.modality if self.wrapped is None else self.wrapped[1].modality

    @property
    def axes(self) -> str:
        """Axes of an encoder; those of the encoder that it wraps."""
        axes: str = self.cls.axes if self.wrapped is None else self.wrapped[1].axes
        return axes

    @classmethod
    def of(
        cls, registry: PluginRegistry, kind: Kind, reference: PartialRef, place: str, prefer: Sequence[str] = ()
    ) -> LoadedRef:
        """Find and load the component that a reference names.

        Raises:
            ConfigError: the reference has no name.
            UnknownNameError, AmbiguousNameError, RequirementError, ComponentError: the component cannot be loaded.
        """
        if reference.name is None:
            raise ConfigError(f"{place}.name", found="nothing", expected=f"the name of the {kind} with these options")
        component = registry.component(kind, reference.name, place=place, prefer=prefer)
        with within(place):
            loaded = cls(component, component.load(), reference, place)
        if component.spec.modality != ANY:
            return loaded
        for field, refers in referring(loaded.cls.Config).items():
            if refers == RefersTo(kind):
                inner = f"{place}.{field}"
                wrapped = cls.of(registry, kind, _written(reference.options.get(field, {}), inner), inner, prefer)
                return replace(loaded, wrapped=(field, wrapped))
        raise ComponentError(
            component.place,
            found=f"{loaded.cls.__name__}.Config without a reference to an {kind}",
            expected=f'a field marked RefersTo("{kind}"), because it declares the modality "{ANY}"',
        )


def complete_part(
    registry: PluginRegistry, part: LoadedRef, prefer: Sequence[str] = (), defaults: Mapping[str, Any] | None = None
) -> tuple[ComponentRef, ComponentConfig]:
    """Return a reference with canonical name and every option, and its options as the component's `Config`.

    Fields that follow from files are filled in (`ComponentConfig.completed`), and the references among the options are
    completed too.

    Args:
        registry: resolves the references among the options.
        part: the component and its options.
        prefer: preferences for these names.
        defaults: options that a task fixes; used where the component has them and the user sets nothing. A component
            of any modality passes them on to the encoder that it wraps.

    Raises:
        ConfigError: an option is missing, unknown, of a wrong value, or not JSON-native.
    """
    schema: type[ComponentConfig] = part.cls.Config
    defaults = defaults or {}
    options = {name: value for name, value in defaults.items() if name in schema.model_fields} | part.reference.options
    for field, refers in referring(schema).items():
        place, written = f"{part.place}.{field}", part.reference.options.get(field, {})
        if part.wrapped is not None and field == part.wrapped[0]:
            options[field] = complete_part(registry, part.wrapped[1], prefer, defaults)[0].model_dump()
        elif schema.model_fields[field].annotation is ComponentRef:
            default, fixed = schema.model_fields[field].default, defaults.get(field)
            base = PartialRef(**default.model_dump()) if isinstance(default, ComponentRef) else None
            options[field] = _complete_inner(registry, place, refers, written, prefer, base, fixed)
        elif isinstance(written, list | tuple):
            options[field] = [
                _complete_inner(registry, f"{place}.{number}", refers, item, prefer)
                for number, item in enumerate(written)
            ]
    config = parse(schema, options, part.place)
    with part.component.running(part.place):
        config = config.completed()
        options = config.model_dump(mode="json")
    try:
        json.dumps(options, allow_nan=False)
    except ValueError as error:
        raise ConfigError(
            part.place, found=f"{shown(options, 1000)} ({error})", expected="options that JSON can hold"
        ) from None
    return ComponentRef(name=part.component.id, **options), config


def classes_of(registry: PluginRegistry, kind: Kind, reference: ComponentRef) -> Iterator[type[Any]]:
    """Yield the class of the component of a complete reference, and of those of its kind that it refers to."""
    cls = registry.component(kind, reference.name).load()
    yield cls
    for _, refers, inner in inner_references(cls.Config, reference.options):
        if refers.kind == kind:
            yield from classes_of(registry, kind, inner)


def _complete_inner(
    registry: PluginRegistry,
    place: str,
    refers: RefersTo,
    written: Any,
    prefer: Sequence[str],
    base: PartialRef | None = None,
    defaults: Any = None,
) -> dict[str, Any]:
    """Return the complete form of a reference among a component's options, merged into the field's default."""
    reference = merge_reference(registry, refers.kind, base, _written(written, place), prefer)
    inner = LoadedRef.of(registry, refers.kind, reference, place, prefer)
    if refers.modality is not None and inner.modality != refers.modality:
        raise ConfigError(
            place,
            found=f"{inner.component.id}, which is of {inner.modality}",
            expected=f"one of the {refers.kind}s of {refers.modality}",
            hint=f"Installed are: {installed_names(registry, refers.kind, refers.modality)}.",
        )
    complete, _ = complete_part(registry, inner, prefer, defaults if isinstance(defaults, Mapping) else None)
    return complete.model_dump()


def _written(value: Any, place: str) -> PartialRef:
    """Return a reference as a user writes it, a name or a name with options."""
    return parse(PartialRef, {"name": value} if isinstance(value, str) else value, place)
