"""Overrides of a configuration on the command line: `train.epochs=3 model.kernel.heads=2`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from itnet_core import ConfigError, shown
from itnet_registry.config.yaml_text import DEPTH, read_yaml


def apply_overrides(config: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return a configuration with `key=value` assignments applied in order.

    A key is a dotted path and a value is YAML. A number in the path is an index into a list. A component written as its
    name becomes a mapping when one of its options is set. Whether fields exist is not checked here.

    Example:
        >>> apply_overrides({"model": {"kernel": "mlp"}}, ["model.kernel.heads=2", "train.epochs=3"])
        {'model': {'kernel': {'name': 'mlp', 'heads': 2}}, 'train': {'epochs': 3}}
        >>> apply_overrides({"trunk": [{"kernel": "mlp"}, {"query": {"stride": 2}}]}, ["trunk.1.query.stride=4"])
        {'trunk': [{'kernel': 'mlp'}, {'query': {'stride': 4}}]}

    Raises:
        ConfigError: an assignment has another form, its value is not YAML, or its path leads through a value without
            fields or past the end of a list.
    """
    result = dict(config)
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(shown(assignment), found="no assignment", expected="key=value, like train.epochs=3")
        result = set_field(result, key, _parse_value(assignment, value), assignment)
    return result


def set_field(config: Mapping[str, Any], key: str, value: Any, assignment: str = "") -> dict[str, Any]:
    """Return a configuration with the field at a dotted path set.

    Args:
        config: the configuration.
        key: the path; see `apply_overrides`.
        value: any JSON-native value.
        assignment: what the user wrote, for errors.

    Raises:
        ConfigError: the path is empty or too long, or leads through a value without fields or past the end of a list.
    """
    path, assignment = key.split("."), assignment or key
    if not all(path) or len(path) > DEPTH:
        found = "no assignment" if len(path) <= DEPTH else f"a path of {len(path)} parts"
        raise ConfigError(shown(assignment), found=found, expected="key=value, like train.epochs=3")
    result: dict[str, Any] = _set(dict(config), path, value, assignment)
    return result


def _parse_value(assignment: str, text: str) -> Any:
    try:
        return read_yaml(text)
    except ValueError as error:
        raise ConfigError(shown(assignment), found=str(error), expected="a value in YAML") from None


def _set(inner: Any, path: list[str], value: Any, assignment: str, place: str = "") -> Any:
    """Return a mapping or list, or a component written as its name, with one value set; a missing mapping is made."""
    if not path:
        return value
    first, *rest = path
    where = f"{place}.{first}".lstrip(".")
    if isinstance(inner, list):
        if not first.isdecimal() or int(first) >= len(inner):
            found = f"{first!r} as an index into {len(inner)} entries at {place}"
            raise ConfigError(shown(assignment), found=found, expected=f"a number from 0 to {len(inner) - 1}")
        index = int(first)
        return [*inner[:index], _set(inner[index], rest, value, assignment, where), *inner[index + 1 :]]
    if isinstance(inner, str):
        inner = {"name": inner}
    if inner is not None and not isinstance(inner, Mapping):
        raise ConfigError(shown(assignment), found=f"{shown(inner)} at {place}", expected="a value with fields")
    inner = inner or {}
    return {**inner, first: _set(inner.get(first), rest, value, assignment, where)}
