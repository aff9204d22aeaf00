"""What plugins declared, together with the plugin that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from itnet_core import CommandSpec, PresetSpec
from itnet_registry.discovery import Source

S = TypeVar("S")


@dataclass(frozen=True)
class Declared(Generic[S]):
    """A declaration and its owner.

    Attributes:
        spec: what the plugin declared.
        source: the plugin.
    """

    spec: S
    source: Source

    @property
    def name(self) -> str:
        """The bare name."""
        return str(getattr(self.spec, "name"))  # noqa: B009  # S has no bound that all three specs share

    @property
    def id(self) -> str:
        """The canonical id: the normalised distribution name and the name, `itnet-image/patch`."""
        return f"{self.source.distribution}/{self.name}"

    @property
    def identity(self) -> Any:
        """What it stands for. Two declarations with equal identities are the same thing registered twice."""
        return self.spec


class Preset(Declared[PresetSpec]):
    """A model preset and its owner."""

    @property
    def identity(self) -> Any:
        """The configuration."""
        return dict(self.spec.config)


class Command(Declared[CommandSpec]):
    """A command and its owner."""

    @property
    def identity(self) -> Any:
        """The target."""
        return self.spec.target
