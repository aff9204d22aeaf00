"""Rows of tables of inputs: comma- or tab-separated, JSON lines, or parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from itnet_core import DataError, open_regular

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
"""Suffixes of tables of inputs."""

csv.field_size_limit(1 << 24)


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the columns of each row of a table, whose first line names the columns.

    Raises:
        DataError: the file is missing, in another encoding than UTF-8, or damaged.
    """
    try:
        with open_regular(path) as file:
            if path.suffix.lower() == ".parquet":
                yield from _parquet(path, file)
                return
            text = file.read().decode("utf-8-sig")
    except OSError as error:
        raise DataError(str(path), found=error.strerror or str(error), expected="a table of inputs") from None
    except UnicodeDecodeError as error:
        raise DataError(str(path), found=str(error), expected="a table in UTF-8") from None
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        yield from _json_lines(path, text)
        return
    quoting: dict[str, Any] = {"strict": True} if path.suffix.lower() == ".csv" else {"delimiter": "\t", "quoting": 3}
    reader = csv.reader(text.splitlines(keepends=True), **quoting)
    try:
        names = next(reader, [])
        for cells in reader:
            if cells:
                yield f"{path}, line {reader.line_num}", dict(zip(names, cells, strict=False))
    except csv.Error as error:
        place = f"{path}, line {reader.line_num}"
        raise DataError(place, found=f"a damaged row ({error})", expected="cells with all quotes closed") from None


def value_of(row: Mapping[str, Any], path: Path, column: str | None, *, texts: bool) -> Any:
    """Return the value of a row: its columns, or one column.

    Args:
        row: the columns.
        path: the table. File names in it are relative to its folder.
        column: the column that alone is the value.
        texts: strings are texts. Otherwise those that name a file become its `Path`, and all of `column` do.

    Raises:
        DataError: there is no such column.
    """
    if column is not None and column not in row:
        known = ", ".join(map(repr, row))
        raise DataError(str(path), found=f"no column {column!r}", expected=f"one of {known}")
    if column is not None:
        cell = row[column]
        return path.parent / cell if isinstance(cell, str) and not texts else cell
    return dict(row) if texts else {name: _file(cell, path.parent) for name, cell in row.items()}


def _file(cell: Any, folder: Path) -> Any:
    """Return the path of the file that a cell names, or the cell; in lists, of each."""
    if isinstance(cell, list):
        return [_file(part, folder) for part in cell]
    try:
        return folder / cell if isinstance(cell, str) and cell and (folder / cell).is_file() else cell
    except (OSError, ValueError):  # a text that no file name can be
        return cell


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(place, found=f"no valid JSON ({error})", expected="an object in each line") from None
        if not isinstance(row, dict):
            raise DataError(place, found=type(row).__name__, expected="an object in each line")
        yield place, row


def _parquet(path: Path, file: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        from pyarrow import parquet
    except ImportError:
        hint = "Run: pip install pyarrow. Or write the table as CSV or JSON lines."
        raise DataError(str(path), found="parquet", expected="pyarrow, which reads it", hint=hint) from None
    try:
        rows = parquet.read_table(file).to_pylist()
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        raise DataError(str(path), found=f"a damaged file ({error})", expected="a parquet file") from None
    for number, row in enumerate(rows):
        yield f"{path}, row {number}", row
