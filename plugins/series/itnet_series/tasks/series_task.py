"""Base of the tasks on time series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat

from itnet_core import DataError
from itnet_series.data.augmentation import SeriesAugmentation
from itnet_series.data.columns import PARQUET, SEPARATORS
from itnet_series.data.layout import Layout, read_series
from itnet_series.data.time_series import TimeSeries
from itnet_series.data.values import series_of
from itnet_series.series import Series
from itnet_tasks import LearnedTask

Finite = Annotated[float, ConfigField(allow_inf_nan=False)]


class SeriesTask(LearnedTask):
    """Base of tasks on the series of files."""

    class Config(Layout, LearnedTask.Config):
        mean: tuple[Finite, ...] | None = None
        """Mean of each channel, which the encoder subtracts; by default that of the training series."""

        std: tuple[PositiveFloat, ...] | None = None
        """Standard deviation of each channel, which the encoder divides by; by default that of the training series."""

        extent: PositiveFloat | None = None
        """Time that the longest series covers, which spans 2 units of t; by default that of the training series."""

    modality = "series"
    suffixes = (*SEPARATORS, *PARQUET, ".ts")
    fields: Sequence[str] = ("channels", "mean", "std", "extent")

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """Channels, their mean and standard deviation, and the unit of t in which the longest series spans 2."""
        c = self.settings
        return {"channels": len(c.channels), "mean": list(c.mean), "std": list(c.std), "unit": c.extent / 2}

    def loader(self, *, training: bool) -> Callable[[TimeSeries | Path], TimeSeries]:
        """Return a function that checks a series, or reads that of a user's file."""
        return SeriesLoader(self.settings)

    def collate_inputs(self, inputs: Sequence[TimeSeries]) -> Series:
        """Collate series of any lengths."""
        return Series.of([series.values for series in inputs], [series.times for series in inputs])

    def source_of(self, value: Any) -> TimeSeries:
        """Return a user's series in memory; see `series_of`. A series of a file, which `parts` returns, stays.

        Raises:
            DataError: it is another value, or has other channels than those of training.
        """
        if isinstance(value, TimeSeries):
            return value
        c = self.settings
        taken = {
            str(getattr(c, name)) for name in ("series", "label", "group_by") if getattr(c, name, None) is not None
        }
        return series_of(value, tuple(map(str, c.channels)), taken)

    def parts(self, path: Path) -> Sequence[tuple[str, Any]]:
        """Return the series of a user's file by their names; they need no label.

        Raises:
            DataError: the file cannot be read, or has other channels than those of training.
        """
        return [(series.place, series) for series in read_users(path, self.settings)]


@dataclass(frozen=True)
class SeriesLoader:
    """A function that checks a series, or reads that of a user's file.

    Attributes:
        settings: the complete configuration of the task.
        augmentation: for training; `None` for evaluation.
        history: the number of steps to take from the end of a series; by default all.
    """

    settings: Any
    augmentation: SeriesAugmentation | None = None
    history: int | None = None

    def __call__(self, source: TimeSeries | Path) -> TimeSeries:
        """Return the series of a source.

        Raises:
            DataError: the series has a fault or is too short; or a file cannot be read, or has not exactly one series.
        """
        if isinstance(source, Path):
            found = read_users(source, self.settings)
            if len(found) != 1:
                hint = "A Predictor takes files of several series: predictor.predict([Path('series.csv')])."
                raise DataError(str(source), found=f"{len(found)} series", expected="one", hint=hint)
            [source] = found
        series = source.checked()
        if self.history is not None:
            if len(series.times) < self.history:
                found_steps, expected = f"{len(series.times)} steps", f"at least {self.history}, the history"
                raise DataError(series.place, found=found_steps, expected=expected)
            series = series.part(len(series.times) - self.history, len(series.times))
        return series if self.augmentation is None else self.augmentation(series)


def read_users(path: Path, settings: Any) -> list[TimeSeries]:
    """Read the series of a user's file, with the channels of training; they need no label.

    Args:
        path: the file.
        settings: the complete configuration of the task.

    Raises:
        DataError: the file cannot be read, or has other channels.
    """
    c = settings
    file = read_series(path, c, getattr(c, "label", None), getattr(c, "group_by", None), required=False)
    if len(file.channels) != len(c.channels):
        found, expected = f"{len(file.channels)} channels", f"{len(c.channels)}, as in training"
        raise DataError(str(path), found=found, expected=expected)
    return file.series


def statistics(series: Sequence[TimeSeries], channels: Sequence[str]) -> dict[str, Any]:
    """Return the fields `channels`, `mean` and `std` of series without their faulty ones.

    A channel without any value has mean 0, and a constant one standard deviation 1.
    """
    values = [one.values for one in series if one.fault is None]
    steps = torch.cat(values).double() if values else torch.zeros(0, len(channels))
    mean = steps.nanmean(0).nan_to_num()
    std = (steps - mean).square().nanmean(0).sqrt().nan_to_num()
    std = torch.where(std > 0, std, 1.0)
    return {"channels": tuple(channels), "mean": tuple(mean.tolist()), "std": tuple(std.tolist())}
