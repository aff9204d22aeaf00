"""The rows of `history.csv`: reading them, and which of them is the best."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

Row = Mapping[str, float]
Mode = Literal["max", "min"]


def read_rows(path: Path) -> list[dict[str, float]]:
    """Return the rows of a history; an empty list without a file, and NaN where a column was added later."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: float(value) if value else math.nan for name, value in row.items()} for row in csv.DictReader(file)
        ]


def has_scores(row: Row, monitor: str) -> bool:
    """Whether the loss and the monitored score of a row are not NaN."""
    return not any(math.isnan(row.get(f"validation_{name}", math.nan)) for name in ("loss", monitor))


def is_better(row: Row, best: Row, monitor: str, mode: Mode) -> bool:
    """Whether a row is better than the best so far; among equal scores, the lower validation loss is better.

    Example:
        >>> rows = [{"validation_accuracy": 0.5, "validation_loss": loss} for loss in (1.2, 1.1)]
        >>> is_better(rows[1], rows[0], "accuracy", "max")
        True
    """
    if not has_scores(row, monitor) or not has_scores(best, monitor):
        return has_scores(row, monitor)
    new, old = row[f"validation_{monitor}"], best[f"validation_{monitor}"]
    if new == old:  # common for accuracies on a small validation split
        return row["validation_loss"] < best["validation_loss"]
    return new > old if mode == "max" else new < old


def best_row(rows: Sequence[Row], monitor: str, mode: Mode) -> Row | None:
    """Return the best row, or `None` if no row has scores."""
    best: Row | None = None
    for row in rows:
        if has_scores(row, monitor) and (best is None or is_better(row, best, monitor, mode)):
            best = row
    return best
