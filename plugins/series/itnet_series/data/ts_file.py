"""Read `.ts` files, the text format of the UCR and UEA archives of time series (timeseriesclassification.com)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from itnet_core import DataError
from itnet_series.data.cells import convert, number, time
from itnet_series.data.columns import read_text
from itnet_series.data.time_series import SeriesFault, SeriesFile, TimeSeries, make_series, trim

Numbers = np.ndarray[Any, Any]

COLON = re.compile(r":(?![^(]*\))")
"""Separates dimensions; not the colon of a time in brackets."""

PAIR = re.compile(r"\(([^()]*),([^(),]*)\)")
"""A time and a value."""


@dataclass(frozen=True)
class TsHeader:
    """The tags of a `.ts` file.

    Attributes:
        classes: names of the classes, or `None` without class labels.
        labelled: whether a class or a number follows the dimensions of each series.
        timestamps: whether values are written with their times.
        dimensions: number of dimensions, if declared.
    """

    classes: tuple[str, ...] | None
    labelled: bool
    timestamps: bool
    dimensions: int | None


def read_ts(path: Path, encoding: str = "utf-8") -> SeriesFile:
    """Read a `.ts` file: one series a line, dimensions separated by colons, then the label; `?` for a missing value.

    Series may have different lengths. Missing values at the end of a series, which archives of equal lengths are padded
    with, are removed. With time stamps, dimensions may have different times; the others are missing there.

    Raises:
        DataError: the file cannot be read, or lacks a tag.
    """
    lines = read_text(path, encoding).splitlines()
    header, start = _read_header(path, lines)
    series: list[TimeSeries] = []
    count = header.dimensions
    for row, line in enumerate(lines[start:], start + 1):
        if line.strip() and not line.startswith(("#", "%")):
            parts = COLON.split(line.strip())
            label = parts.pop().strip() if header.labelled else None
            count = len(parts) if count is None else count
            series.append(_read_series(f"{path}, line {row}", parts, label, count, header))
    if not series:
        raise DataError(str(path), found="no series after @data", expected="at least one line")
    return SeriesFile(series, tuple(map(str, range(count or 0))), header.classes)


def _read_header(path: Path, lines: list[str]) -> tuple[TsHeader, int]:
    tags: dict[str, list[str]] = {}
    for row, line in enumerate(lines):
        words = line.split()
        if not words or words[0].startswith(("#", "%")):
            continue
        if not words[0].startswith("@"):
            break
        tag = words[0][1:].lower()
        if tag == "data":
            return _header(path, tags), row + 1
        tags[tag] = words[1:]
    raise DataError(str(path), found="no line @data", expected="a .ts file: tags, @data, and a line for each series")


def _header(path: Path, tags: dict[str, list[str]]) -> TsHeader:
    def flag(tag: str) -> bool:
        words = tags.get(tag, ["false"])
        if not words or words[0].lower() not in ("true", "false"):
            raise DataError(str(path), found=f"@{tag} {' '.join(words)}", expected="true or false")
        return words[0].lower() == "true"

    classes = tuple(tags["classlabel"][1:]) if flag("classlabel") else None
    dimensions = tags.get("dimensions", ["1"] if flag("univariate") else [])
    if dimensions and not (dimensions[0].isdecimal() and int(dimensions[0])):
        raise DataError(str(path), found=f"@dimensions {dimensions[0]}", expected="a positive number")
    return TsHeader(
        classes,
        classes is not None or flag("targetlabel"),
        flag("timestamps"),
        int(dimensions[0]) if dimensions else None,
    )


def _read_series(place: str, parts: list[str], label: str | None, count: int, header: TsHeader) -> TimeSeries:
    def faulty(place: str, found: str, expected: str) -> TimeSeries:
        return make_series(
            np.full((1, count), np.nan), np.zeros(1), place, label=label, fault=SeriesFault(place, found, expected)
        )

    if len(parts) != count:
        return faulty(place, f"{len(parts)} dimensions", f"{count}" + (", and a label" if header.labelled else ""))
    columns: list[Numbers] = []
    stamps: list[Numbers] = []
    for channel, part in enumerate(parts):
        pairs = PAIR.findall(part) if header.timestamps else enumerate(part.split(","))
        if header.timestamps and (rest := PAIR.sub("", part).strip(", ")):
            return faulty(f"{place}, dimension {channel}", f"{rest!r:.60}", "(time,value),(time,value)…")
        at, cells = zip(*pairs, strict=True) if pairs else ((), ())
        for texts, read, numbers, expected in (
            (at, time, stamps, "a number or a date"),
            (cells, number, columns, "a number, or ? for a missing value"),
        ):
            converted, bad = convert(texts, read)
            if bad:
                step = min(bad)
                return faulty(f"{place}, dimension {channel}, step {step}", bad[step], expected)
            numbers.append(converted)
    if not header.timestamps and len({len(column) for column in columns}) > 1:
        found = f"dimensions of {min(map(len, columns))} to {max(map(len, columns))} steps"
        return faulty(place, found, "equal lengths")
    times = np.unique(np.concatenate(stamps))
    values = np.full((len(times), count), np.nan)
    for channel, (column, own) in enumerate(zip(columns, stamps, strict=True)):
        if len(np.unique(own)) < len(own):
            return faulty(f"{place}, dimension {channel}", "two values at one time", "one value for each time")
        values[np.searchsorted(times, own), channel] = column
    length = trim(values)
    return make_series(values[:length], times[:length], place, label=label)
