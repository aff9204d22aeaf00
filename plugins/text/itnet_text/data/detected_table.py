"""Find the columns of texts and of labels in a user's tables, for `itnet init`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, NamedTuple

from itnet_core import DataError, Detection
from itnet_tasks import split_files
from itnet_text.data.rows import Columns, read_table

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
ROWS = 2000
"""Rows that are read, at most."""

MOST_CLASSES = 50
LABELS = ("label", "class", "category", "target", "sentiment", "topic", "stars", "rating", "score", "y")
"""Names of columns that are taken for labels first."""

LENGTHS = (512, 256, 128)
"""Bytes of a text that a model reads, of which those below the longest text are tried."""


class DetectedTable(NamedTuple):
    """Tables of texts with labels.

    Attributes:
        files: the files of the splits, by the option of the task.
        text: the column of the texts.
        label: the column of the labels.
        texts: those of the rows that were read.
        labels: those of the same rows.
        is_regression: whether the labels are numbers to predict.
    """

    files: Mapping[str, str]
    text: str
    label: str
    texts: Sequence[str]
    labels: Sequence[Any]
    is_regression: bool

    def detection(self) -> Detection:
        """Return what was found, and models that read texts of several lengths."""
        longest = sorted(len(text.encode()) for text in self.texts)[int(0.95 * (len(self.texts) - 1))]
        lengths = [length for length in LENGTHS if length < longest] or [longest]
        lengths = [longest, *lengths] if LENGTHS[-1] < longest < LENGTHS[0] else lengths
        task: dict[str, Any] = {**self.files, "text": self.text, "label": self.label}
        if self.is_regression:
            numbers = [float(label) for label in self.labels]
            task |= {"centre": float(f"{fmean(numbers):.4g}"), "scale": float(f"{pstdev(numbers) or 1:.4g}")}
            labels = f"numbers from {min(numbers):g} to {max(numbers):g}"
        else:
            names = sorted(set(map(str, self.labels)))
            labels = f"{len(names)} classes ({', '.join(names[:5])}{', …' if len(names) > 5 else ''})"
        encoder = {"name": "itnet-text/token", "window": 5, "tokens_per_unit": 32}
        found = f"texts in the column {self.text!r} of {', '.join(self.files.values())}, "
        found += f"with {labels} in the column {self.label!r}; most have at most {longest} bytes"
        configs = [
            ({"preset": "itnet-core/itnet-nano", "encoder": {**encoder, "max_length": max(8, length)}}, task)
            for length in lengths
        ]
        return Detection(found, len(self.files), configs)


def detect_table(path: Path) -> DetectedTable | None:
    """Return the tables of a folder, or a file, if they have a column of texts and one of labels."""
    files = split_files(path, SUFFIXES)
    if not files:
        return None
    try:
        rows = [columns for _, columns in islice(read_table(Path(files["train"])), ROWS)]
    except DataError:
        return None
    names = [name for name in dict.fromkeys(n for row in rows for n in row) if name is not None]
    texts = {name: _texts(rows, name) for name in names}
    text = max(names, key=lambda name: texts[name], default="")
    if not rows or texts.get(text, 0.0) < 8:
        return None
    candidates = [name for name in names if name != text and _is_complete(rows, name)]
    labels = [name for name in candidates if name.lower() in LABELS] or candidates
    for name in labels:
        kept = [row for row in rows if row.get(text)]
        values = [row[name] for row in kept]
        is_number = name.lower() in LABELS and all(map(_is_number, values))
        is_class = 2 <= len(set(values)) <= min(MOST_CLASSES, max(2, len(values) // 2))
        if is_class or is_number:
            return DetectedTable(files, text, name, [str(row[text]) for row in kept], values, not is_class)
    return None


def _texts(rows: Sequence[Columns], name: str) -> float:
    """Return the mean length of the texts of a column, or 0 if most of its cells are no texts of several words."""
    cells = [cell for row in rows if isinstance(cell := row.get(name), str)]
    words = sum(" " in cell.strip() for cell in cells)
    return fmean(map(len, cells)) if cells and words > len(rows) / 2 else 0.0


def _is_complete(rows: Sequence[Columns], name: str) -> bool:
    return all(row.get(name) not in (None, "") and isinstance(row[name], str | int | float) for row in rows)


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False
