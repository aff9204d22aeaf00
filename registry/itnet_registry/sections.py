"""Sections of a configuration file that plugins' commands read."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from itnet_core import ConfigError
from itnet_core.plugin.errors import closest
from itnet_registry import first_party
from itnet_registry.errors import AmbiguousNameError, ComponentError
from itnet_registry.loading import OWN_SECTIONS
from itnet_registry.registry import Registry
from itnet_registry.requirements import pip_install
from itnet_registry.targets import import_target, one_line

OWN = OWN_SECTIONS
"""The sections that the registry itself reads."""


def section_model(registry: Registry, section: str, place: str) -> type[BaseModel]:
    """Return the pydantic model that checks a section.

    Raises:
        ConfigError: no command reads the section.
        AmbiguousNameError: two plugins check it with different models.
        ComponentError: the model does not import, or is none.
    """
    declared = {
        target: command
        for command in registry.commands()
        for name, target in command.spec.sections.items()
        if name == section
    }
    if not declared:
        raise _unknown(registry, section, place)
    if len(declared) > 1:
        listed = ", ".join(f"{command.id} ({target})" for target, command in sorted(declared.items()))
        raise AmbiguousNameError(
            place,
            found=f"a section that several commands check: {listed}",
            expected="one",
            hint="Leave one plugin out with ITNET_DISABLE.",
        )
    [(target, command)] = declared.items()
    owner = f"section {section} of {command.source.title}"
    try:
        model = import_target(target, command.source)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ComponentError(owner, found=one_line(error), expected=f"{target} to import") from error
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise ComponentError(owner, found=repr(model), expected="a pydantic model")
    return model


def section_models(registry: Registry) -> dict[str, type[BaseModel]]:
    """Return the model of every section that some command reads."""
    names = sorted({name for command in registry.commands() for name in command.spec.sections})
    return {name: section_model(registry, name, name) for name in names}


def _unknown(registry: Registry, section: str, place: str) -> ConfigError:
    known = [*OWN, *sorted({name for command in registry.commands() for name in command.spec.sections})]
    brings = first_party.bringer("section", section)
    hints: list[Any] = [f"{fault}." for fault in registry.faults]
    if brings and not any(source.distribution == brings for source in registry.discovery.sources):
        hints.insert(0, f"{brings} reads it: {pip_install([brings])}.")
    close = closest(section, known)
    if close:
        hints.insert(0, f"Did you mean {close!r}?")
    return ConfigError(
        place, found="a section that nothing reads", expected=f"one of {', '.join(known)}", hint=" ".join(hints)
    )
