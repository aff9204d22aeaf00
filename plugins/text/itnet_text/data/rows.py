"""Read rows of text from tables: tab- or comma-separated, JSON lines, parquet or Arrow."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from itnet_core import DataError, open_regular
from itnet_tasks import Labelled, decode_text
from itnet_text.data.large_table import LargeTable, is_large
from itnet_text.texts import text_fault

Value = str | int | float | None
Columns = dict[str, Value]

csv.field_size_limit(1 << 24)


class Row(NamedTuple):
    """One or two texts, and the line that they come from.

    Attributes:
        texts: one text, or a pair.
        place: the file and the line.
        problem: why the row is bad; empty for a sound row. The texts of a bad row must not be used.
    """

    texts: tuple[str, ...]
    place: str
    problem: str = ""


def check_row(row: Row) -> str | tuple[str, str]:
    """Return a row's text or pair of texts, as encoders read them.

    Raises:
        DataError: the row is bad, or a text is empty.
    """
    expected = "a label, and a text that is not empty" if len(row.texts) == 1 else "a label, and two texts, none empty"
    if row.problem:
        raise DataError(row.place, found=row.problem, expected=expected)
    if fault := next(filter(None, map(text_fault, row.texts)), ""):
        raise DataError(row.place, found=fault, expected=expected)
    return row.texts[0] if len(row.texts) == 1 else (row.texts[0], row.texts[1])


def read_file(path: Path, encoding: str = "utf-8") -> str:
    """Read a text file, without a byte order mark.

    Raises:
        DataError: the file is missing, or not in this encoding; the error names the line.
    """
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise DataError(str(path), found=error.strerror or str(error), expected="a file that can be read") from None
    return decode_text(content, path, encoding)


def read_paragraphs(path: Path, encoding: str = "utf-8") -> Iterator[Row]:
    """Yield the paragraphs of a text file, which are separated by empty lines.

    Raises:
        DataError: the file is missing, or not in this encoding.
    """
    start, lines = 1, list[str]()
    for number, line in enumerate([*read_file(path, encoding).replace("\r\n", "\n").split("\n"), ""], start=1):
        if line.strip():
            start = start if lines else number
            lines.append(line)
        elif lines:
            yield Row(("\n".join(lines),), f"{path}, line {start}")
            lines = []


def read_tsv(path: Path, header: Sequence[str] | None = None) -> Iterator[tuple[str, Columns]]:
    """Yield the place and the columns of each line of a tab-separated file without quoting, such as GLUE's.

    Args:
        path: the file.
        header: names of the columns; by default the first line. A shorter line lacks its last columns.
    """
    # Not `splitlines`, which also splits at characters that stand in texts (U+2028, U+0085).
    lines = read_file(path).replace("\r\n", "\n").split("\n")
    names = lines[0].split("\t") if header is None else header
    for number, line in enumerate(lines[header is None :], start=1 + (header is None)):
        if line:
            yield f"{path}, line {number}", dict(zip(names, line.split("\t"), strict=False))


def read_table(path: Path, *, header: bool = True, encoding: str = "utf-8") -> Iterator[tuple[str, Columns]]:
    """Yield the place and the columns of each row of a table: .csv, .tsv or .txt (tabs), .jsonl.

    In .csv, quotes are read as spreadsheets write them; in the other formats they have no meaning.

    Args:
        path: the file.
        header: whether the first line names the columns; otherwise they are named "0", "1", ….
        encoding: of the file.

    Raises:
        DataError: the file cannot be read, has another suffix, contains a line that is not JSON, or a quote that is not
            closed.
    """
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        yield from _read_jsonl(path, encoding)
        return
    if suffix not in (".csv", ".tsv", ".txt"):
        raise DataError(str(path), found=f"a file ending in {suffix!r}", expected="one in .csv, .tsv, .txt or .jsonl")
    # Strict: quotes that are not closed would take in all rows to the end of the file as one.
    quoting: dict[str, Any] = {"strict": True} if suffix == ".csv" else {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    reader = csv.reader(io.StringIO(read_file(path, encoding), newline=""), **quoting)
    names: list[str] | None = None
    try:
        for cells in reader:
            if header and names is None:
                names = cells
            elif cells:
                named = names if names is not None else map(str, range(len(cells)))
                yield f"{path}, line {reader.line_num}", dict(zip(named, cells, strict=False))
    except csv.Error as error:
        place = f"{path}, line {reader.line_num}"
        raise DataError(place, found=f"a damaged row ({error})", expected="cells with all quotes closed") from None


def _read_jsonl(path: Path, encoding: str) -> Iterator[tuple[str, Columns]]:
    for number, line in enumerate(read_file(path, encoding).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            columns: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(place, found=f"no valid JSON ({error})", expected="an object in each line") from None
        if not isinstance(columns, dict):
            raise DataError(place, found=type(columns).__name__, expected="an object in each line")
        yield place, columns


def read_columns(
    path: str, names: Sequence[str], *, header: bool = True, encoding: str = "utf-8"
) -> list[tuple[str, Columns]]:
    """Read the place and the columns of each row of a table, whose header must have the columns `names`.

    Of parquet and Arrow files, only these columns are read.

    Raises:
        DataError: the file cannot be read, or lacks one of the columns.
    """
    if is_large(path):
        large = LargeTable.open(path, names)
        return [large.row(position) for position in large.tables.positions().tolist()]
    rows = list(read_table(Path(path).expanduser(), header=header, encoding=encoding))
    known = {name for _, columns in rows for name in columns}
    missing = [name for name in names if rows and name not in known]
    if missing:
        raise DataError(
            path,
            found=f"no column {missing[0]!r}",
            expected=f"one of {', '.join(map(repr, sorted(map(str, known))))}",
            hint="Set the options that name columns; for a file without a header, header: false, and numbers from 0.",
        )
    return rows


def select_texts(columns: Columns, names: Sequence[str], place: str) -> Row:
    """Select a row's texts by the names of their columns; the row is bad if one is missing or not a text."""
    missing = [name for name in names if columns.get(name) is None]
    if missing:
        return Row(("",) * len(names), place, f"nothing in column {missing[0]!r}")
    wrong = [name for name in names if not isinstance(columns[name], str)]
    problem = f"{columns[wrong[0]]!r:.40} in column {wrong[0]!r}" if wrong else ""
    return Row(tuple(str(columns[name]) for name in names), place, problem)


def label_rows(rows: Sequence[Row], labels: Any, place: str) -> Labelled:
    """Pair rows with their labels.

    Raises:
        DataError: the rows are empty.
    """
    if not rows:
        raise DataError(place, found="no rows", expected="at least one")
    return Labelled(rows, labels)
