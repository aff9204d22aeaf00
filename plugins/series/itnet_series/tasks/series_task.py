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
from itnet_series.data.layout import Layout, read_series
from itnet_series.data.time_series import TimeSeries
from itnet_series.series import Series
from itnet_tasks import LearnedTask, Sample

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

    def read(self, path: Path) -> Sample:
        """Read a user's file of one series as a sample, with or without a label.

        Raises:
            DataError: the file cannot be read, has not exactly one series, or a bad cell.
        """
        return Sample(self.loader(training=False)(Path(path)), None)


@dataclass(frozen=True)
class SeriesLoader:
    """A function that checks a series, or reads that of a user's file.

    Attributes:
        settings: the complete configuration of the task.
        augmentation: for training; `None` for evaluation.
        history: the number of steps to take from the end of a user's file; by default all.
    """

    settings: Any
    augmentation: SeriesAugmentation | None = None
    history: int | None = None

    def __call__(self, source: TimeSeries | Path) -> TimeSeries:
        """Return the series of a source.

        Raises:
            DataError: the series has a fault; or a file cannot be read, or has not exactly one series.
        """
        series = (self._read(source) if isinstance(source, Path) else source).checked()
        return series if self.augmentation is None else self.augmentation(series)

    def _read(self, path: Path) -> TimeSeries:
        """Read a file with the channels of training; it need not have a label."""
        c = self.settings
        file = read_series(path, c, getattr(c, "label", None), getattr(c, "group_by", None), required=False)
        if len(file.series) != 1:
            hint = "Write each series to a file of its own."
            raise DataError(str(path), found=f"{len(file.series)} series", expected="one", hint=hint)
        if len(file.channels) != len(c.channels):
            found, expected = f"{len(file.channels)} channels", f"{len(c.channels)}, as in training"
            raise DataError(str(path), found=found, expected=expected)
        [series] = file.series
        if self.history is None:
            return series
        if len(series.times) < self.history:
            found, expected = f"{len(series.times)} steps", f"at least {self.history}, the history"
            raise DataError(series.place, found=found, expected=expected)
        return series.part(len(series.times) - self.history, len(series.times))


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
