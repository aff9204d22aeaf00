"""Load the source of a sample as an encoder's input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from itnet_core import DataError
from itnet_tasks import unreadable
from itnet_tasks.values import PLACE
from itnet_text.data.rows import Row, check_row, read_file, select_texts
from itnet_text.texts import Text


def text_loader(*, pair: bool, encoding: str = "utf-8") -> Callable[[Row | Path], Text]:
    """Return a function that reads a row of a data set, or a user's file: one text, or two texts in two lines."""
    return partial(_load, pair=pair, encoding=encoding)


def row_of(value: Any, columns: Sequence[str]) -> Row:
    """Return a user's text in memory as a row: a string (two lines for a pair), a pair, or a mapping of columns.

    Example:
        >>> row_of("a fine film", ["text"]).texts, row_of({"a": "dull", "b": "fine"}, ["b", "a"]).texts
        (('a fine film',), ('fine', 'dull'))

    Args:
        value: what a user gave.
        columns: names of the columns of one or two texts. Of a mapping with as many others, all are taken, in order.

    Raises:
        DataError: it is another value, or lacks a text.
    """
    if isinstance(value, Mapping):
        known = all(name in value for name in columns)
        if not known and len(value) != len(columns):
            raise unreadable(value, f"the columns {', '.join(map(repr, columns))}")
        return select_texts(dict(value), columns if known else list(value), PLACE)
    texts = value
    if isinstance(value, str):
        texts = (value,) if len(columns) == 1 else tuple(line.strip() for line in value.split("\n") if line.strip())
    if not isinstance(texts, tuple | list) or not all(isinstance(text, str) for text in texts):
        raise unreadable(value, "a text" if len(columns) == 1 else "a pair of texts")
    if len(texts) != len(columns):
        raise DataError(PLACE, found=f"{len(texts)} texts", expected=f"{len(columns)}")
    return Row(tuple(texts), PLACE)


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
