"""A time series as a file holds it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from itnet_core import DataError


class SeriesFault(NamedTuple):
    """Why a series cannot be used: the place, what was found, and what was expected."""

    place: str
    found: str
    expected: str


class TimeSeries(NamedTuple):
    """One series.

    Attributes:
        values: float32, shape (T, c); NaN for a missing value.
        times: from 0 at the first step, strictly increasing; float32, shape (T,).
        place: the file, and the line or the name of the series.
        label: as the file writes it; `None` without one.
        group: name of the series' group; `None` without one.
        fault: why the series cannot be used, or `None`. Its values must then not be used.
    """

    values: Tensor
    times: Tensor
    place: str
    label: str | None = None
    group: str | None = None
    fault: SeriesFault | None = None

    def checked(self) -> TimeSeries:
        """Return the series.

        Raises:
            DataError: it has a fault.
        """
        if self.fault is not None:
            raise DataError(self.fault.place, found=self.fault.found, expected=self.fault.expected)
        return self

    def part(self, start: int, stop: int) -> TimeSeries:
        """Return consecutive steps as a series."""
        return self._replace(values=self.values[start:stop], times=self.times[start:stop])

    @property
    def extent(self) -> float:
        """The time that the steps cover: from the first to the last, and a mean gap."""
        count = len(self.times)
        return float(self.times[-1] - self.times[0]) * count / (count - 1) if count > 1 else 1.0


class SeriesFile(NamedTuple):
    """The series of a file.

    Attributes:
        series: in the order of the file.
        channels: names of the channels.
        classes: the class names that a `.ts` file declares, or `None`.
    """

    series: list[TimeSeries]
    channels: tuple[str, ...]
    classes: tuple[str, ...] | None = None


def make_series(
    values: np.ndarray[Any, Any],
    times: np.ndarray[Any, Any],
    place: str,
    *,
    label: str | None = None,
    group: str | None = None,
    fault: SeriesFault | None = None,
) -> TimeSeries:
    """Return a series of values (T, c) at times (T,) in float64; a fault if times do not increase, or all are missing.

    Only the first fault of a series is kept.
    """
    times = (times - times[:1]).astype(np.float32)
    if fault is None and np.isnan(values).all():
        fault = SeriesFault(place, "no value", "at least one value that is not missing")
    if fault is None and not (np.diff(times) > 0).all():
        step = int((np.diff(times) <= 0).argmax()) + 1
        fault = SeriesFault(
            place, f"two steps at one time, or in reverse (step {step})", "times that increase, in float32"
        )
    return TimeSeries(torch.from_numpy(values.astype(np.float32)), torch.from_numpy(times), place, label, group, fault)


def trim(values: np.ndarray[Any, Any]) -> int:
    """Return the number of steps of values (T, c) without the missing ones at the end, at least 1."""
    present = ~np.isnan(values).all(1)
    return max(1, len(values) - int(present[::-1].argmax())) if present.any() else 1
