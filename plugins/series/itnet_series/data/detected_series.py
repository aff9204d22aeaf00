"""Find the layout of a user's table of time series, for `itnet init`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from itnet_core import DataError, Detection
from itnet_series.data.cells import convert, number, time
from itnet_series.data.columns import PARQUET, SEPARATORS, ColumnTable, read_columns
from itnet_series.data.ts_file import read_ts
from itnet_tasks import split_files

TABLES = (".csv", ".tsv", *PARQUET)
assert set(TABLES) < {*SEPARATORS, *PARQUET}

TIMES = ("time", "t", "timestamp", "date", "datetime", "seconds")
LABELS = ("label", "class", "category", "target", "state", "y")
LARGEST_POINTS = 200
"""Points of a series that a small model reads; longer series are read in patches."""

MOST_CLASSES = 50


class DetectedSeries(NamedTuple):
    """Tables of series.

    Attributes:
        files: the files of the splits, by the option of the task.
        options: where the series are; see `itnet_series.data.layout.Layout`.
        total: number of series.
        steps: of the longest series.
        label: column of the labels; `None` for series without.
        names: classes; empty without.
    """

    files: Mapping[str, str]
    options: Mapping[str, Any]
    total: int
    steps: int
    label: str | None = None
    names: Sequence[str] = ()

    def classification(self) -> Detection:
        """Return classification of the series."""
        label = {} if self.label is None else {"label": self.label}
        listed = ", ".join(self.names[:5]) + (", …" if len(self.names) > 5 else "")
        found = f"{self.total:,} series of up to {self.steps:,} steps in {', '.join(self.files.values())}, of "
        found += f"{len(self.names)} classes ({listed})"
        return Detection(found, len(self.files), self._configs(self.steps, {**self.files, **self.options, **label}))

    def forecast(self) -> Detection:
        """Return forecasts of the steps after the last hundred or so."""
        history = max(4, min(96, self.steps // 10))
        horizon = max(1, history // 4)
        task = {"file": self.files["train"], **self.options, "history": history, "horizon": horizon, "overlap": True}
        series = f"{self.total:,} series" if self.total > 1 else "a series"
        found = f"{series} of up to {self.steps:,} steps in {self.files['train']}, without labels: a forecast of "
        found += f"{horizon} steps from {history}"
        return Detection(found, 1, self._configs(history, task))

    def _configs(self, steps: int, task: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        patch = max(1, -(-steps // LARGEST_POINTS))
        return [({"preset": "itnet-series/series-nano", "encoder": {"patch": n}}, task) for n in (patch, 2 * patch)]


def detect_series(path: Path) -> DetectedSeries | None:
    """Return the series of a folder, or of a file: .csv, .tsv, .parquet or .ts."""
    files = split_files(path, (*TABLES, ".ts"))
    if not files:
        return None
    train = Path(files["train"])
    try:
        if train.suffix.lower() == ".ts":
            file = read_ts(train, "utf-8")
            names = file.classes or sorted({one.label for one in file.series if one.label is not None})
            steps = max((len(one.times) for one in file.series), default=0)
            return DetectedSeries(files, {}, len(file.series), steps, None, names)
        table = read_columns(train, header=True, encoding="utf-8")
    except DataError:
        return None
    return _wide(table, files) or _long(table, files)


def _wide(table: ColumnTable, files: Mapping[str, str]) -> DetectedSeries | None:
    """Return a table of one series a row: a label, and at least eight columns named as steps."""
    labels = [name for name in table.columns if name.lower() in LABELS and _classes(table, name)]
    if len(labels) != 1:
        return None
    steps = [name for name in table.columns if name != labels[0]]
    numbered = sum(name.lstrip("tTxX_").replace(".", "", 1).isdigit() for name in steps)
    if len(steps) < 8 or numbered < len(steps) or not all(_is(number, table.columns[name]) for name in steps):
        return None
    names = _classes(table, labels[0])
    return DetectedSeries(files, {"layout": "wide"}, len(table.rows), len(steps), labels[0], names)


def _long(table: ColumnTable, files: Mapping[str, str]) -> DetectedSeries | None:
    """Return a table of one step a row: numbers, perhaps times, and perhaps a column that names the series."""
    clock = next((name for name in table.columns if name.lower() in TIMES and _is(time, table.columns[name])), None)
    others = [name for name in table.columns if name != clock]
    series = next((name for name in others if _names_series(table, name, clock)), None)
    label = None
    if series is not None:
        candidates = [name for name in others if name != series and _classes(table, name)]
        constant = [name for name in candidates if _is_constant(table, name, series)]
        label = next((name for name in constant if name.lower() in LABELS), next(iter(constant), None))
    channels = [name for name in others if name not in (series, label) and _is(number, table.columns[name])]
    known = {series, label, clock, *channels}
    if (
        not channels
        or len(table.rows) < 20
        or any(_is_prose(table, name) for name in table.columns if name not in known)
    ):
        return None
    options = {"series": series, "time": clock, "channels": channels}
    sizes = [len(table.rows)] if series is None else np.unique(_texts(table, series), return_counts=True)[1].tolist()
    names = () if label is None else _classes(table, label)
    chosen = {name: value for name, value in options.items() if value is not None}
    return DetectedSeries(files, chosen, len(sizes), max(sizes), label, names)


def _is(kind: Any, cells: Sequence[Any]) -> bool:
    values, bad = convert(cells, kind)
    return not bad and not np.isnan(values).all()


def _texts(table: ColumnTable, name: str) -> list[str]:
    return [str(cell) for cell in table.columns[name]]


def _is_prose(table: ColumnTable, name: str) -> bool:
    """Whether most cells of a column have several words: then the table is of texts."""
    texts = _texts(table, name)
    return sum(" " in text.strip() for text in texts) > len(texts) / 2


def _classes(table: ColumnTable, name: str) -> tuple[str, ...]:
    """Return the different values of a column, if they are few and none is missing."""
    names = sorted(set(_texts(table, name)))
    few = 2 <= len(names) <= min(MOST_CLASSES, len(table.rows) // 2)
    return tuple(names) if few and "" not in names else ()


def _names_series(table: ColumnTable, name: str, clock: str | None) -> bool:
    """Whether the rows of each value of a column follow one another, and with a clock the times rise within them."""
    texts = _texts(table, name)
    starts = [row for row in range(len(texts)) if row == 0 or texts[row] != texts[row - 1]]
    if not 2 <= len(starts) == len(set(texts)) <= len(texts) // 4:
        return False
    if clock is None:
        return True
    times, _ = convert(table.columns[clock], time)
    falls = {row for row in range(1, len(times)) if times[row] <= times[row - 1]}
    return falls <= set(starts)


def _is_constant(table: ColumnTable, name: str, series: str) -> bool:
    """Whether a column has one value in all rows of a series."""
    return len(set(zip(_texts(table, name), _texts(table, series), strict=True))) == len(set(_texts(table, series)))
