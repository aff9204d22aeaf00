"""Load the source of a sample as an encoder's input."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from itnet_core import DataError
from itnet_text.data.rows import Row, check_row, read_file
from itnet_text.texts import Text


def text_loader(*, pair: bool, encoding: str = "utf-8") -> Callable[[Row | Path], Text]:
    """Return a function that reads a row of a data set, or a user's file: one text, or two texts in two lines."""
    return partial(_load, pair=pair, encoding=encoding)


def _load(source: Row | Path, *, pair: bool, encoding: str) -> Text:
    if isinstance(source, Row):
        return check_row(source)
    text = read_file(source, encoding).strip()
    if not pair:
        return check_row(Row((text,), str(source)))
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) != 2:
        raise DataError(str(source), found=f"{len(lines)} lines with text", expected="two texts, one a line")
    return check_row(Row(tuple(lines), str(source)))
