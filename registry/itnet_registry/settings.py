"""What the environment says about plugins. Read once, when a registry is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

CORE = "itnet-core"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Which plugins may be imported, and what happens when one fails.

    Attributes:
        only: plugins to use, by distribution or entry-point name (`ITNET_PLUGINS`); `None` for all. The core's own
            components are always there, unless they are disabled.
        disable: plugins to leave out (`ITNET_DISABLE`).
        prefer: canonical ids that their bare names stand for (`ITNET_PREFER`).
        strict: raise at a plugin's first fault instead of setting it aside (`ITNET_STRICT=1`).
    """

    only: frozenset[str] | None = None
    disable: frozenset[str] = frozenset()
    prefer: tuple[str, ...] = ()
    strict: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the four variables; an empty one counts as unset."""
        only = _names(environment.get("ITNET_PLUGINS", ""))
        return cls(
            only=frozenset(only) if only else None,
            disable=frozenset(_names(environment.get("ITNET_DISABLE", ""))),
            prefer=tuple(_parts(environment.get("ITNET_PREFER", ""))),
            strict=environment.get("ITNET_STRICT", "").lower() not in ("", "0", "false", "no"),
        )

    def excludes(self, distribution: str, entry_point: str) -> str | None:
        """Return the variable that leaves a plugin out, or `None`."""
        names = {str(canonicalize_name(name)) for name in (distribution, entry_point)}
        if names & self.disable:
            return "ITNET_DISABLE"
        if self.only is not None and distribution != CORE and not names & self.only:
            return "ITNET_PLUGINS"
        return None


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _names(text: str) -> list[str]:
    return [str(canonicalize_name(part)) for part in _parts(text)]
