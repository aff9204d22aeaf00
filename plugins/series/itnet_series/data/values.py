"""Take a user's time series in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from itnet_core import DataError
from itnet_series.data.cells import convert, number, time
from itnet_series.data.time_series import SeriesFault, TimeSeries, make_series, trim
from itnet_tasks import as_array
from itnet_tasks.values import PLACE


def series_of(value: Any, channels: Sequence[str], taken: Collection[str] = ()) -> TimeSeries:
    """Return a user's series.

    Example:
        >>> series_of([1.0, 2.0, 4.0], ["height"]).values.shape
        torch.Size([3, 1])
        >>> series_of({"values": [[1.0], [2.0]], "times": [0.0, 0.5]}, ["height"]).times
        tensor([0.0000, 0.5000])
        >>> series_of({"0": "1.5", "1": "2", "label": "a"}, ["value"], taken=["label"]).values.flatten()
        tensor([1.5000, 2.0000])

    Args:
        value: values (T,) or (T, c), 1 apart in time; a mapping of them as `values` and of their `times`; or the row of
            a table, which has a step in each column. NaN, or an empty cell, is a missing value.
        channels: names of the channels of training.
        taken: columns of a row that are not steps.

    Raises:
        DataError: it is another value, or has other channels.
    """
    if isinstance(value, Mapping) and "values" not in value:
        return _of_row({str(name): cell for name, cell in value.items() if str(name) not in taken}, channels)
    times: Any = None
    if isinstance(value, Mapping):
        value, times = value["values"], value.get("times")
    expected = f"values (T,) or (T, {len(channels)}), or a mapping of values and times"
    values = as_array(_without_none(value), expected, ndim=(1, 2)).astype(np.float64)
    values = values.reshape(len(values), -1)
    _check_channels(values.shape[1], channels)
    if times is None:
        return make_series(values, np.arange(len(values), dtype=np.float64), PLACE)
    moments, bad = convert(times, time)
    if bad or len(moments) != len(values):
        found = f"the time {next(iter(bad.values()))}" if bad else f"{len(moments)} times"
        raise DataError(PLACE, found=found, expected=f"{len(values)} numbers or dates, one for each step")
    return make_series(values, moments, PLACE)


def _of_row(row: Mapping[str, Any], channels: Sequence[str]) -> TimeSeries:
    _check_channels(1, channels)
    values, bad = convert(row.values(), number)
    names, unnamed = convert(row, number)
    times = np.arange(len(values), dtype=np.float64) if unnamed or not (np.diff(names) > 0).all() else names
    fault = SeriesFault(PLACE, next(iter(bad.values())), "a number, or an empty cell") if bad else None
    own = values.reshape(-1, 1)
    length = trim(own) if len(own) else 0
    return make_series(own[:length], times[:length], PLACE, fault=fault)


def _check_channels(count: int, channels: Sequence[str]) -> None:
    if count != len(channels):
        expected = f"{len(channels)}, as in training: {', '.join(channels)}"
        raise DataError(PLACE, found=f"{count} channels", expected=expected)


def _without_none(value: Any) -> Any:
    """Return nested lists with NaN for `None`, which JSON has as null."""
    if isinstance(value, list | tuple):
        return [_without_none(part) for part in value]
    return float("nan") if value is None else value
