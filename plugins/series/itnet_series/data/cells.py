"""Numbers and times from the cells of a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import torch

MISSING = frozenset({"", "?", "na", "n/a", "nan", "nat", "none", "null"})
"""What stands for a missing value, in lower case."""

LARGEST = torch.finfo(torch.float32).max
"""Models compute in float32."""

Bad = dict[int, str]
"""What is wrong with the cells at some rows."""


def number(cell: Any) -> float:
    """Return a finite number, or NaN for a missing value.

    Raises:
        ValueError: the cell is neither.
    """
    if isinstance(cell, str):
        cell = cell.strip()
    if cell is None or (isinstance(cell, str) and cell.lower() in MISSING):
        return math.nan
    value = float(cell)
    if abs(value) > LARGEST:
        raise ValueError("a number that float32 cannot hold")
    return value


def time(cell: Any) -> float:
    """Return a number, or the seconds of a date and time: an object, or a text in ISO 8601, `2024-01`, `2024-01-31`.

    Dates without a time zone are taken as UTC.

    Raises:
        ValueError: the cell is not a time.
    """
    try:
        value = number(cell)
    except (TypeError, ValueError):
        value = _seconds(cell)
    if not math.isfinite(value):
        raise ValueError("no time")
    return value


def _seconds(cell: Any) -> float:
    if isinstance(cell, str):
        cell = cell.strip()
        cell = datetime.fromisoformat(f"{cell}-01" if len(cell) == len("2024-01") else cell)
    elif isinstance(cell, date) and not isinstance(cell, datetime):
        cell = datetime(cell.year, cell.month, cell.day)
    if not isinstance(cell, datetime):
        raise ValueError("not a date")
    return (cell.replace(tzinfo=UTC) if cell.tzinfo is None else cell).timestamp()


def convert(cells: Iterable[Any], one: Callable[[Any], float]) -> tuple[np.ndarray[Any, Any], Bad]:
    """Convert cells by `number` or `time`; bad ones become NaN and are listed as they are written."""
    values, bad = [], {}
    for row, cell in enumerate(cells):
        try:
            values.append(one(cell))
        except (TypeError, ValueError, OverflowError):
            values.append(math.nan)
            bad[row] = f"{cell!r:.60}"
    return np.array(values, dtype=np.float64), bad
