"""Versions of the software that a result depends on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from itnet_registry import default_registry
from itnet_registry.checkpoints.checkpoint import records_of
from itnet_registry.config.model_config import CompleteModelConfig

ALWAYS = ("torch", "lightning", "itnet-core", "itnet-registry", "itnet-train")


def engine_versions() -> dict[str, str]:
    """Return the versions of Python and the engine."""
    return {"python": platform.python_version(), **{name: version(name) for name in ALWAYS}}


def model_versions(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of Python, the engine, and the distributions that a complete model configuration uses."""
    records = records_of(default_registry(), CompleteModelConfig.model_validate(config))
    plugins = {record.distribution for record in records.values()} - set(ALWAYS)
    return engine_versions() | {name: version(name) for name in sorted(plugins)}
