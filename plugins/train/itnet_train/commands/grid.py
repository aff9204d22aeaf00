"""The values of a sweep: `train.learning_rate=1e-3,3e-3 train.seed=0..2`, or a range to sample from."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from typing import Any, Literal

from itnet_core import ConfigError, shown
from itnet_registry.config.yaml_text import read_yaml

LONGEST = 120
"""Longest name of a run directory."""

_INTEGERS = re.compile(r"(-?\d+)\.\.(-?\d+)")
_SAMPLED = re.compile(r"(log|uniform|int)\(([^,]+),([^,]+)\)")


@dataclass(frozen=True)
class SampledRange:
    """A range that a search samples from.

    Attributes:
        low: the smallest value.
        high: the largest value.
        scale: `log` and `uniform` for numbers, evenly in their logarithm or by themselves; `int` for integers.
    """

    low: float
    high: float
    scale: Literal["log", "uniform", "int"]


Values = Sequence[Any] | SampledRange
Point = dict[str, Any]
"""A value of each swept field by the field's dotted path."""


def parse_sweep(assignments: Iterable[str]) -> dict[str, Values]:
    """Parse `KEY=VALUES` assignments: values in YAML with commas between them, integers `0..2`, or `log(1e-4,1e-2)`.

    Example:
        >>> parse_sweep(["train.learning_rate=1e-3,3e-3", "train.seed=0..2"])
        {'train.learning_rate': [0.001, 0.003], 'train.seed': [0, 1, 2]}
        >>> parse_sweep(["train.weight_decay=log(1e-3,0.1)"])
        {'train.weight_decay': SampledRange(low=0.001, high=0.1, scale='log')}

    Raises:
        ConfigError: an assignment has another form, or sets a field again.
    """
    swept: dict[str, Values] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not key or not equals or key in swept:
            found = "a field that is set twice" if key in swept else "no assignment"
            expected = "key=values, like train.learning_rate=1e-3,3e-3 or train.seed=0..2"
            raise ConfigError(shown(assignment), found=found, expected=expected)
        sampled = _SAMPLED.fullmatch(text.strip())
        swept[key] = _parse_range(assignment, *sampled.groups()) if sampled else _parse_values(assignment, text)
    return swept


def _parse_values(assignment: str, text: str) -> list[Any]:
    try:
        listed = read_yaml(f"[{text}]")
    except ValueError as error:
        raise ConfigError(shown(assignment), found=str(error), expected="values in YAML, with commas") from None
    values: list[Any] = []
    for value in listed:
        integers = _INTEGERS.fullmatch(value) if isinstance(value, str) else None
        values += range(int(integers[1]), int(integers[2]) + 1) if integers else [value]
    if not values:
        raise ConfigError(shown(assignment), found="no values", expected="at least one")
    return values


def _parse_range(assignment: str, scale: Any, low: str, high: str) -> SampledRange:
    number = int if scale == "int" else float
    try:
        sampled = SampledRange(number(low), number(high), scale)
    except ValueError:
        expected = "two integers" if scale == "int" else "two numbers"
        raise ConfigError(shown(assignment), found=f"{low}, {high}", expected=expected) from None
    if not (0 if scale == "log" else float("-inf")) < sampled.low < sampled.high < float("inf"):
        expected = f"a smaller and a larger number{' above 0' if scale == 'log' else ''}"
        raise ConfigError(shown(assignment), found=f"{low}, {high}", expected=expected)
    return sampled


def grid_points(swept: Mapping[str, Values]) -> list[Point]:
    """Return all combinations of the values, the last field varying fastest.

    Example:
        >>> grid_points({"train.seed": [0, 1], "train.epochs": [5]})
        [{'train.seed': 0, 'train.epochs': 5}, {'train.seed': 1, 'train.epochs': 5}]

    Raises:
        ConfigError: a field has a range, which only a search samples from.
    """
    for key, values in swept.items():
        if isinstance(values, SampledRange):
            found, hint = f"the range {values.scale}(…)", "Add --trials N to sample N points."
            raise ConfigError(key, found=found, expected="values", hint=hint)
    lists = [values for values in swept.values() if not isinstance(values, SampledRange)]
    return [dict(zip(swept, values, strict=True)) for values in product(*lists)]


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """Return the last parts of dotted paths where they are unique, and the paths otherwise; a component's is its kind.

    Example:
        >>> short_names(["train.learning_rate", "model.trunk.0.kernel.name"])
        {'train.learning_rate': 'learning_rate', 'model.trunk.0.kernel.name': 'kernel'}
        >>> short_names(["train.seed", "model.task.seed"])
        {'train.seed': 'train.seed', 'model.task.seed': 'model.task.seed'}
    """
    last = {field: field.removesuffix(".name").rpartition(".")[2] for field in fields}
    count = Counter(last.values())
    return {field: short if count[short] == 1 else field for field, short in last.items()}


def run_name(point: Point, varied: Sequence[str]) -> str:
    """Return the name of a point's run directory: the fields that vary, by their last parts, and their values.

    Example:
        >>> point = {"train.learning_rate": 0.003, "train.seed": 1, "train.epochs": 5}
        >>> run_name(point, ["train.learning_rate", "train.seed"])
        'learning_rate=0.003,seed=1'
    """
    parts = []
    for key, short in short_names(varied).items():
        value = point[key] if isinstance(point[key], str) else json.dumps(point[key])
        parts.append(f"{short}={value}")
    name = ",".join(parts) or "run"
    safe = re.sub(r"[^\w.,=+-]+", "-", re.sub(r'[\[\]{}"\s]', "", name))
    if safe == name and len(name) <= LONGEST:
        return name
    return f"{safe[:LONGEST]}-{sha256(name.encode()).hexdigest()[:8]}"  # different points have different names
