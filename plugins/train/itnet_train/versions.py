"""The versions that a result depends on."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

ALWAYS = ("torch", "lightning", "itnet-core", "itnet-registry", "itnet-train")


def versions(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of Python, the engine, and the distributions of a complete model configuration's parts."""
    parts = {name.partition("/")[0] for name in _names(config)}
    distributions = [*ALWAYS, *sorted(parts - set(ALWAYS))]
    return {"python": platform.python_version(), **{name: version(name) for name in distributions}}


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("name"), str):
            yield value["name"]
        for each in value.values():
            yield from _names(each)
