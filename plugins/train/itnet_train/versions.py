"""The versions that a result depends on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

ALWAYS = ("torch", "lightning", "itnet-core", "itnet-registry", "itnet-train")


def versions(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of Python, the engine, and the distributions of a complete model configuration's parts."""
    parts = [config[kind] for kind in ("kernel", "sampler", "evaluator")]
    parts += [part for kinds in ("encoders", "heads", "tasks") for part in config[kinds].values()]
    plugins = {part["name"].partition("/")[0] for part in parts} - set(ALWAYS)
    return {"python": platform.python_version(), **{name: version(name) for name in [*ALWAYS, *sorted(plugins)]}}
