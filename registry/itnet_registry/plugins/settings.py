"""Settings of plugins from environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

CORE = "itnet-core"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Plugins that may be imported, and the treatment of a plugin that fails.

    Example:
        >>> Settings.from_environment({"ITNET_DISABLE": "acme-sums, itnet-audio"}).excludes("itnet-audio", "audio")
        'ITNET_DISABLE'
    """

    only: frozenset[str] | None = None
    """Plugins to use, by distribution or entry-point name (`ITNET_PLUGINS`); `None` for all. The core's own components
    stay, unless they are disabled."""
    disable: frozenset[str] = frozenset()
    """Plugins to leave out (`ITNET_DISABLE`)."""
    prefer: tuple[str, ...] = ()
    """Canonical ids that their bare names stand for (`ITNET_PREFER`)."""
    strict: bool = False
    """Raise at the first plugin that fails instead of putting it in quarantine (`ITNET_STRICT=1`)."""

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
        """Return the name of the variable that leaves a plugin out, or `None`."""
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
