"""Find graphs and their labels in a user's files of JSON lines, for `itnet init`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from itnet_core import DataError, Detection
from itnet_tasks import open_data, split_files

SUFFIXES = (".jsonl", ".ndjson")
ROWS = 500
"""Lines that are read, at most."""

MOST_CLASSES = 50
OWN = ("nodes", "edges", "split")
LABELS = {"class": "a class each", "number": "a number each", "nodes": "a class for each node"}


def detect_graphs(path: Path, labels: Literal["class", "number", "nodes"]) -> Detection | None:
    """Return the graphs of a folder or a file, if they have labels of a kind."""
    files = split_files(path, SUFFIXES)
    try:
        rows = list(islice(_rows(Path(files["train"])), ROWS)) if files else []
    except DataError:
        return None
    if not rows or not all(isinstance(row, dict) and {"nodes", "edges"} <= row.keys() for row in rows):
        return None
    keys = [key for key in rows[0] if key not in OWN and all(key in row for row in rows)]
    key = next((key for key in keys if _kind([row[key] for row in rows]) == labels), None)
    if key is None:
        return None
    option = {"file": files["train"]} if labels == "nodes" else files
    sizes = [row["nodes"] if isinstance(row["nodes"], int) else len(row["nodes"]) for row in rows]
    found = f"graphs of up to {max(sizes):,} nodes in {', '.join(files.values())}, with {LABELS[labels]} ({key!r})"
    return Detection(found, len(files), [({"preset": "itnet-graph/graph-nano"}, {**option, "label": key})])


def _rows(path: Path) -> Iterator[Any]:
    with open_data(path, "JSON lines") as file:
        for line in file:
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError):
                    raise DataError(str(path), found="no JSON", expected="an object in each line") from None


def _kind(labels: list[Any]) -> str:
    """Return which kind of labels these are, or ""."""
    if all(isinstance(label, list) for label in labels):
        return "nodes"
    if not all(isinstance(label, str | int | float) for label in labels):
        return ""
    if 2 <= len(set(labels)) <= min(MOST_CLASSES, max(2, len(labels) // 2)):
        return "class"
    return "number" if not any(isinstance(label, str | bool) for label in labels) else ""
