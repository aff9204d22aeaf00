"""Overrides of a configuration on the command line: `train.epochs=3 model.kernel.heads=2`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from itnet_core import ConfigError
from itnet_core.plugin.errors import shown
from itnet_registry.config.yaml_text import DEPTH, read_yaml


def override(config: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return a configuration with `key=value` assignments laid over it, the later over the earlier.

    A key is a dotted path, a value is YAML. A component that stands as its name alone becomes a mapping when one of its
    options is set: `kernel: mlp` and `kernel.heads=2` give `{name: mlp, heads: 2}`. Whether fields exist is left to who
    reads the configuration.

    Raises:
        ConfigError: an assignment is not of that form, or leads through something that has no fields.
    """
    laid = dict(config)
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        path = key.split(".")
        if not equals or not all(path) or len(path) > DEPTH:
            found = "no assignment" if len(path) <= DEPTH else f"a path of {len(path)} parts"
            raise ConfigError(shown(assignment), found=found, expected="key=value, like train.epochs=3")
        laid = _set(laid, path, _value(assignment, value), assignment)
    return laid


def _value(assignment: str, text: str) -> Any:
    try:
        return read_yaml(text)
    except ValueError as error:
        raise ConfigError(shown(assignment), found=str(error), expected="a value in YAML") from None


def _set(mapping: Mapping[str, Any], path: list[str], value: Any, assignment: str) -> dict[str, Any]:
    first, *rest = path
    if not rest:
        return {**mapping, first: value}
    below = mapping.get(first)
    if isinstance(below, str):
        below = {"name": below}
    if below is not None and not isinstance(below, Mapping):
        raise ConfigError(shown(assignment), found=f"{shown(below)} at {first}", expected="something with fields")
    return {**mapping, first: _set(below or {}, rest, value, assignment)}
