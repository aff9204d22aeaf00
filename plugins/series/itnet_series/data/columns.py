"""Read the columns of a table: comma- or tab-separated, or parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from itnet_core import DataError
from itnet_tasks import decode_text, open_data, read_data

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
PARQUET = (".parquet", ".pq")

csv.field_size_limit(1 << 24)


class ColumnTable(NamedTuple):
    """The columns of a table.

    Attributes:
        path: the file.
        columns: the cells of each column, by its name; texts, or the values of a parquet file.
        rows: what each row is called in errors, `line 7`.
    """

    path: Path
    columns: dict[str, Sequence[Any]]
    rows: Sequence[str]

    def place(self, row: int, column: str = "") -> str:
        """Return the place of a row, or of a cell."""
        return f"{self.path}, {self.rows[row]}" + (f", column {column!r}" if column else "")


def read_columns(path: Path, *, header: bool, encoding: str) -> ColumnTable:
    """Read a table.

    Args:
        path: a file in .csv, .tsv, .txt (tabs) or .parquet.
        header: whether the first line names the columns; otherwise they are named "0", "1", ….
        encoding: of a text file.

    Raises:
        DataError: the file cannot be read, has another suffix, two columns of one name, a row with more cells than
            columns, or no row.
    """
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        table = _read_parquet(path)
    elif suffix in SEPARATORS:
        table = _read_text(path, SEPARATORS[suffix], header, encoding)
    else:
        expected = f"one in {', '.join((*SEPARATORS, PARQUET[0], '.ts'))}"
        raise DataError(str(path), found=f"a file ending in {suffix!r}", expected=expected)
    if not table.rows:
        raise DataError(str(path), found="no rows", expected="at least one")
    return table


def read_text(path: Path, encoding: str) -> str:
    """Read a text file, without a byte order mark.

    Raises:
        DataError: the file cannot be read, or is not in this encoding; the error names the line.
    """
    return decode_text(read_data(path, expected="a table of time series"), path, encoding)


def _read_text(path: Path, separator: str, header: bool, encoding: str) -> ColumnTable:
    reader = csv.reader(io.StringIO(read_text(path, encoding), newline=""), delimiter=separator, strict=True)
    names: list[str] | None = None
    lines: list[list[str]] = []
    rows: list[str] = []
    try:
        for cells in reader:
            if header and names is None:
                names = cells
            elif cells:
                lines.append(cells)
                rows.append(f"line {reader.line_num}")
    except csv.Error as error:
        place = f"{path}, line {reader.line_num}"
        raise DataError(place, found=f"a damaged row ({error})", expected="cells with all quotes closed") from None
    width = len(names) if names is not None else max(map(len, lines), default=0)
    names = [str(column) for column in range(width)] if names is None else names
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise DataError(str(path), found=f"two columns {twice!r}", expected="columns of different names")
    for row, cells in zip(rows, lines, strict=True):
        if len(cells) > width:
            raise DataError(f"{path}, {row}", found=f"{len(cells)} cells", expected=f"at most {width}, one a column")
        cells += [""] * (width - len(cells))
    columns = zip(*lines, strict=True) if lines else ((),) * width
    return ColumnTable(path, dict(zip(names, columns, strict=True)), rows)


def _read_parquet(path: Path) -> ColumnTable:
    with open_data(path, expected="a parquet file") as file:
        try:
            from pyarrow import parquet
        except ImportError:
            raise DataError(
                str(path),
                found="a parquet file, and pyarrow is not installed",
                expected="pyarrow, or another format",
                hint="pip install 'itnet-series[parquet]'",
            ) from None
        try:
            read = parquet.read_table(file)
            columns = {str(name): read.column(name).to_pylist() for name in read.column_names}
        except Exception as error:  # pyarrow raises many kinds for a damaged file
            found = f"a damaged or unreadable file ({error})"
            raise DataError(str(path), found=found, expected="a parquet file") from None
    return ColumnTable(path, columns, [f"row {row}" for row in range(read.num_rows)])
