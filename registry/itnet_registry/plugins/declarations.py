"""Declarations of plugins, each with the plugin that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any, Generic, Protocol, TypeVar

from itnet_core import CommandSpec, PresetSpec
from itnet_registry.plugins.discovery import Source
from itnet_registry.plugins.plugin_code import PATIENCE_WITH_TORCH, plugin_code


class Spec(Protocol):
    """Common interface of the specs in `itnet_core.plugin.specs`."""

    @property
    def name(self) -> str:
        """The bare name."""

    @property
    def summary(self) -> str:
        """One line for `itnet list`."""


S = TypeVar("S", bound=Spec, covariant=True)


@dataclass(frozen=True)
class Declared(Generic[S]):
    """A declaration and its plugin."""

    spec: S
    """The declaration."""
    source: Source
    """The plugin."""

    @property
    def name(self) -> str:
        """The bare name."""
        return self.spec.name

    @property
    def id(self) -> str:
        """The canonical id: normalised distribution name and bare name, `itnet-image/patch`."""
        return f"{self.source.distribution}/{self.name}"

    @property
    def identity(self) -> object:
        """The value that two declarations of one name are compared by; equal ones count as one declaration."""
        return self.spec

    def matches(self, pattern: str) -> bool:
        """Whether a shell pattern matches the bare name, or with a slash the canonical id."""
        return fnmatchcase(self.name, pattern) or ("/" in pattern and fnmatchcase(self.id, pattern))

    def import_target(self, target: str) -> Any:
        """Import the object that a target of the plugin names, `"package.module:name"`.

        Raises:
            BaseException: whatever the import raises; AttributeError if the module has no such name.
        """
        module, _, name = target.partition(":")
        with plugin_code(self.source, f"importing {module} of", PATIENCE_WITH_TORCH):
            return getattr(import_module(module), name)


class Preset(Declared[PresetSpec]):
    """A model preset and its plugin."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """The configuration."""
        return dict(self.spec.config)


class Command(Declared[CommandSpec]):
    """A command and its plugin."""

    @property
    def identity(self) -> str:
        """The target."""
        return self.spec.target
