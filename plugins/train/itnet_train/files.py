"""Files that are there whole or not at all, and the text that is in them."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write(path: Path, text: str) -> None:
    """Write a text file under a temporary name, then give it its own."""
    with incomplete(path) as part:
        part.write_text(text, encoding="utf-8", newline="")
        commit(part, path)


@contextmanager
def incomplete(path: Path) -> Iterator[Path]:
    """Yield the temporary name of a file that is being written; the file is removed if that fails."""
    part = part_of(path)
    try:
        yield part
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def part_of(path: Path) -> Path:
    """Return the temporary name that a file has until it is complete."""
    return path.with_name(f".{path.name}.part")


def commit(part: Path, path: Path) -> None:
    """Give a complete file its name: whoever looks sees the old file or the new one."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def to_json(data: Mapping[str, Any], *, indent: int | None = None) -> str:
    """Return JSON in ASCII, on one line or indented; numbers that are not finite, which JSON has not, become null."""
    return json.dumps(_finite(data), indent=indent, allow_nan=False)


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows, at least one and all with the same keys, as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
