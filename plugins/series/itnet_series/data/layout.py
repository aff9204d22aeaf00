"""Read time series from files of every format and layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from itnet_core import ComponentConfig, DataError
from itnet_series.data.cells import MISSING, convert, number, time
from itnet_series.data.columns import ColumnTable, read_columns
from itnet_series.data.time_series import SeriesFault, SeriesFile, TimeSeries, make_series, trim
from itnet_series.data.ts_file import read_ts

Column = str | int


class Layout(ComponentConfig):
    """Options that say where the series of a file are. A `.ts` file needs none.

    Example:
        >>> _ = Path("steps.csv").write_text("who,at,x\\na,0,1.5\\na,2,2.5\\nb,0,\\nb,1,3.5\\n")
        >>> series, channels, _ = read_series(Path("steps.csv"), Layout(series="who", time="at"))
        >>> channels, [len(item.times) for item in series]
        (('x',), [2, 2])
    """

    layout: Literal["long", "wide"] = "long"
    """`long`: one row for each step; `wide`: one row for each series, whose other columns are its steps, of one
    channel."""

    series: Column | None = None
    """Column that names the series of a row; by default a `long` file is one series. A column is its name, or its
    number from 0 in a file without a header."""

    time: Column | None = None
    """Column of the times, in the layout `long`: numbers, or dates in ISO 8601, which become seconds. By default the
    steps of a series are 1 apart, in the order of the rows. In the layout `wide`, columns whose names are increasing
    numbers are steps at these times."""

    channels: tuple[Column, ...] | None = None
    """Columns of the channels, in the layout `long`; by default all other columns that hold a number. For `.ts`,
    numbers of dimensions."""

    header: bool = True
    """Whether the first line names the columns."""

    encoding: str = "utf-8"
    """Encoding of text files."""


def read_series(
    path: Path, layout: Layout, label: Column | None = None, group: Column | None = None, *, required: bool = True
) -> SeriesFile:
    """Read the series of a file: .csv, .tsv, .txt (tabs), .parquet or .ts.

    Args:
        path: the file.
        layout: where they are.
        label: column of the label of a series.
        group: column of its group.
        required: refuse a file without the columns of series, label or group; otherwise they are read if present.

    Raises:
        DataError: the file cannot be read, or lacks a column. A series with a bad cell is returned with its fault.
    """
    if path.suffix.lower() == ".ts":
        return _select(path, read_ts(path, layout.encoding), layout.channels, group if required else None)
    table = read_columns(path, header=layout.header, encoding=layout.encoding)
    named = {key: _name(column) for key, column in (("series", layout.series), ("label", label), ("group_by", group))}
    for key, name in named.items():
        if name is not None and name not in table.columns:
            if required:
                raise _no_column(table, key, name)
            named[key] = None
    read = _read_long if layout.layout == "long" else _read_wide
    return read(table, layout, named["series"], named["label"], named["group_by"])


def _read_long(
    table: ColumnTable, layout: Layout, series: str | None, label: str | None, group: str | None
) -> SeriesFile:
    clock = _name(layout.time)
    if clock is not None and clock not in table.columns:
        raise _no_column(table, "time", clock)
    channels = _channels(table, layout.channels, {series, label, group, clock})
    values, faults = _numbers(table, channels)
    times = np.arange(len(table.rows), dtype=np.float64)
    if clock is not None:
        times, bad = convert(table.columns[clock], time)
        for row, cell in bad.items():
            faults.setdefault(row, SeriesFault(table.place(row, clock), cell, "a number or a date"))
    rows: dict[Any, list[int]] = {}
    for row, name in enumerate(table.columns[series] if series is not None else [str(table.path)] * len(table.rows)):
        rows.setdefault(name, []).append(row)
        if series is not None and _text(name) is None:
            faults.setdefault(row, SeriesFault(table.place(row, series), f"{name!r}", "the name of a series"))
    result = []
    for name, mine in rows.items():
        place = str(table.path) + ("" if series is None else f", series {name!r}")
        order = np.array(mine)[np.argsort(times[mine], kind="stable")]
        fault = next((faults[row] for row in mine if row in faults), None)
        texts: list[str | None] = []
        for column in (label, group):
            text, other = _constant(table, column, mine)
            fault = fault or other
            texts.append(text)
        one = make_series(values[order], times[order], place, label=texts[0], group=texts[1], fault=fault)
        if fault is None and one.fault is not None and clock is not None and len(order) > 1:
            one = _locate(table, clock, order, one)
        result.append(one)
    return SeriesFile(result, channels)


def _channels(table: ColumnTable, chosen: Sequence[Column] | None, taken: set[str | None]) -> tuple[str, ...]:
    """Return the names of the columns of the channels."""
    if chosen is None:
        others = (name for name in table.columns if name not in taken)
        channels = tuple(name for name in others if _holds_numbers(table.columns[name]))
    else:
        channels = tuple(map(str, chosen))
        if missing := [name for name in channels if name not in table.columns]:
            raise _no_column(table, "channels", missing[0])
    if not channels:
        raise DataError(str(table.path), found="no column of a channel", expected="at least one", hint="Set channels.")
    return channels


def _holds_numbers(cells: Sequence[Any]) -> bool:
    """Whether a column has a number, or nothing at all."""
    values, bad = convert(cells, number)
    return not bad or not np.isnan(values).all()


def _locate(table: ColumnTable, clock: str, order: np.ndarray[Any, Any], one: TimeSeries) -> TimeSeries:
    """Name the row of the second of two steps at one time."""
    twice = (one.times.diff() <= 0).nonzero().flatten().tolist()
    if not twice:
        return one
    row = int(order[twice[0] + 1])
    found = f"{table.columns[clock][row]!r:.60}, the time of another step"
    return one._replace(fault=SeriesFault(table.place(row, clock), found, "one row for each time of a series"))


def _constant(table: ColumnTable, column: str | None, rows: Sequence[int]) -> tuple[str | None, SeriesFault | None]:
    """Return the text that a column has in all rows of a series; `None` for an empty one."""
    if column is None:
        return None, None
    cells = table.columns[column]
    row = next((row for row in rows if cells[row] != cells[rows[0]]), None)
    if row is not None:
        return None, SeriesFault(table.place(row, column), f"{cells[row]!r:.60}", f"{cells[rows[0]]!r:.60} as above")
    return _text(cells[rows[0]]), None


def _read_wide(
    table: ColumnTable, layout: Layout, series: str | None, label: str | None, group: str | None
) -> SeriesFile:
    if layout.channels not in (None, ("value",)):
        raise DataError(str(table.path), found="channels of a wide table", expected="none: its steps are columns")
    steps = [name for name in table.columns if name not in (series, label, group)]
    if not steps:
        raise DataError(str(table.path), found="no column of a step", expected="at least one")
    names, bad = convert(steps, number)
    times = np.arange(len(steps), dtype=np.float64) if bad or not (np.diff(names) > 0).all() else names
    values, faults = _numbers(table, steps)
    result = []
    for row in range(len(table.rows)):
        own = values[row].reshape(-1, 1)
        length = trim(own)
        texts = [None if column is None else _text(table.columns[column][row]) for column in (label, group)]
        result.append(
            make_series(
                own[:length], times[:length], table.place(row), label=texts[0], group=texts[1], fault=faults.get(row)
            )
        )
    return SeriesFile(result, ("value",))


def _numbers(table: ColumnTable, columns: Sequence[str]) -> tuple[np.ndarray[Any, Any], dict[int, SeriesFault]]:
    """Return the numbers of columns, shape (rows, columns), and the first fault of each row that has one."""
    values = np.empty((len(table.rows), len(columns)))
    faults: dict[int, SeriesFault] = {}
    for index, column in enumerate(columns):
        values[:, index], bad = convert(table.columns[column], number)
        for row, cell in bad.items():
            faults.setdefault(row, SeriesFault(table.place(row, column), cell, "a number, or an empty cell"))
    return values, faults


def _select(path: Path, file: SeriesFile, channels: Sequence[Column] | None, group: Column | None) -> SeriesFile:
    """Return the series of a `.ts` file with some of its dimensions."""
    if group is not None:
        raise DataError(str(path), found="a .ts file, which has no columns", expected="no group_by, or a table")
    if channels is None:
        return file
    names = tuple(map(str, channels))
    if missing := [name for name in names if name not in file.channels]:
        expected = f"dimensions 0 to {len(file.channels) - 1}"
        raise DataError(str(path), found=f"no dimension {missing[0]}", expected=expected)
    chosen = [file.channels.index(name) for name in names]
    return file._replace(series=[one._replace(values=one.values[:, chosen]) for one in file.series], channels=names)


def _no_column(table: ColumnTable, option: str, name: str) -> DataError:
    known = list(table.columns)
    expected = f"one of {', '.join(map(repr, known[:10]))}" + ("" if len(known) <= 10 else ", …")
    hint = f"Set {option}; for a file without a header, header: false, and numbers from 0."
    return DataError(str(table.path), found=f"no column {name!r} ({option})", expected=expected, hint=hint)


def _name(column: Column | None) -> str | None:
    return None if column is None else str(column)


def _text(cell: Any) -> str | None:
    text = "" if cell is None else str(cell).strip()
    return None if text.lower() in MISSING else text
