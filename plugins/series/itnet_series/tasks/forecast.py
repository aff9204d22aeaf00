"""Forecasts of the next steps of time series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from itnet_core import DataError, Detection, Metric, Split
from itnet_series.data.detected_series import detect_series
from itnet_series.data.layout import read_series
from itnet_series.data.time_series import SeriesFile, TimeSeries
from itnet_series.tasks.horizon import forecast_errors
from itnet_series.tasks.series_task import SeriesLoader, SeriesTask, statistics
from itnet_tasks import Labelled, Share


class SeriesForecast(SeriesTask):
    """Forecasts of the `horizon` steps that follow `history` steps, of one or many series.

    Each series is cut in time: first the training part, then the validation part, then the test part. The head predicts
    all steps of the horizon at once, standardised by the mean and standard deviation of the training parts; `mae` and
    `mse` are of these, and `describe` returns the data's unit. `mase` divides the absolute error by that of the
    seasonal naive forecast x(t) = x(t − season) within the training parts (Hyndman and Koehler, 2006), averaged over
    all series.

    Example:
        >>> import math
        >>> rows = [f"{t},{math.sin(t / 4):.3f}" for t in range(200)]
        >>> _ = Path("wave.csv").write_text("\\n".join(["t,height", *rows]))
        >>> task = SeriesForecast(file="wave.csv", time="t", history=10, horizon=3, season=25)
        >>> {split: len(task.dataset(split)) for split in ("train", "validation", "test")}
        {'train': 132, 'validation': 4, 'test': 28}
        >>> task.dataset("test")[0].inputs.values.shape, task.head["outputs"]
        (torch.Size([10, 1]), 3)
    """

    class Config(SeriesTask.Config):
        file: str
        """File of the series: .csv, .tsv, .txt (tabs), .parquet or .ts."""

        history: PositiveInt
        """Steps that a forecast is made from."""

        horizon: PositiveInt
        """Steps to forecast."""

        stride: PositiveInt = 1
        """Steps from one training window to the next; validation and test use every window."""

        test_share: Share = 0.2
        """Share of the steps of each series, at its end, that is the test part."""

        validation: Share = 0.1
        """Share of the other steps of each series, at their end, that is the validation part."""

        overlap: bool = False
        """Whether the first histories of a part reach back into the part before, as those of forecasts in use do, so
        that all its steps are forecast. By default no two parts share a step."""

        season: PositiveInt = 1
        """Steps of a season, for `mase`; 1 compares with the last value."""

        criterion: Literal["mse", "mae"] = "mse"
        """Training loss: squared or absolute error."""

        naive_error: tuple[PositiveFloat, ...] | None = None
        """Mean absolute error of the seasonal naive forecast of each channel, the unit of `mase`; by default that in
        the training parts."""

        def completed(self) -> Self:
            """Fill in channels, statistics, extent and naive error from the training parts, if they exist already."""
            return self.complete(SeriesForecast)

    @classmethod
    def detect(cls, path: Path) -> Detection | None:
        """Detect a table of one or more series without classes."""
        found = detect_series(path)
        return None if found is None or found.names or len(found.files) > 1 else found.forecast()

    monitor = "mae"
    monitor_mode = "min"
    fields = (*SeriesTask.fields, "naive_error")

    @property
    def head(self) -> Mapping[str, Any]:
        """A regression head with horizon · channels outputs."""
        return {"name": "itnet-core/regress", "outputs": self.config.horizon * len(self.settings.channels)}

    def training(self) -> Labelled:
        """Return the windows of the training parts."""
        return self._windows("train", self.config.stride)

    def validation(self) -> Labelled:
        """Return the windows of the validation parts."""
        return self._windows("validation")

    def test(self) -> Labelled:
        """Return the windows of the test parts."""
        return self._windows("test")

    def learned(self) -> dict[str, Any]:
        """Return channels, statistics, extent and naive error, without the fields that are configured."""
        file, season = self._file, self.config.season
        parts = [one.part(0, self._ends(one)[0]) for one in file.series if one.fault is None]
        found = statistics(parts, file.channels)
        differences = [(part.values[season:] - part.values[:-season]).abs() for part in parts]
        naive = torch.cat(differences).double().nanmean(0) if differences else torch.zeros(len(file.channels))
        # A constant channel has no error to divide by.
        found["naive_error"] = tuple(
            error if error > 0 else std for error, std in zip(naive.tolist(), found["std"], strict=True)
        )
        found["extent"] = max((one.extent for one in self.training().sources if one.fault is None), default=1.0)
        return {name: value for name, value in found.items() if getattr(self.config, name) is None}

    def loader(self, *, training: bool) -> Callable[[TimeSeries | Path], TimeSeries]:
        """Return a function that checks a history, or reads the last one of a user's file."""
        return SeriesLoader(self.settings, history=self.config.history)

    def collate_targets(self, labels: Sequence[Tensor]) -> Tensor:
        """Standardise the steps of the horizon; shape (B, horizon, c), NaN for a missing value."""
        c = self.settings
        return (torch.stack(list(labels)) - torch.tensor(c.mean)) / torch.tensor(c.std)

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean error of predictions (B, horizon · c) and targets (B, horizon, c) that are not missing."""
        errors, known = forecast_errors(prediction, targets)
        return (errors.square() if self.config.criterion == "mse" else errors.abs()).sum() / known.sum()

    def metrics(self) -> Mapping[str, Metric]:
        """Return `mae` and `mse` of standardised values, and `mase`."""
        from itnet_series.tasks.forecast_metric import ForecastMetric  # seconds of imports, which training alone needs

        c = self.settings
        alike = (1.0,) * len(c.channels)
        naive = tuple(std / error for std, error in zip(c.std, c.naive_error, strict=True))
        return {"mae": ForecastMetric(1, alike), "mse": ForecastMetric(2, alike), "mase": ForecastMetric(1, naive)}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Describe each sample by the steps of each channel, in the data's unit."""
        c = self.settings
        steps = prediction.float().cpu().view(len(prediction), c.horizon, -1)
        steps = (steps * torch.tensor(c.std) + torch.tensor(c.mean)).transpose(1, 2)
        names = list(map(str, c.channels))
        return [{"forecast": dict(zip(names, sample, strict=True))} for sample in steps.tolist()]

    @cached_property
    def _file(self) -> SeriesFile:
        return read_series(Path(self.config.file).expanduser(), self.config)

    def _ends(self, series: TimeSeries) -> tuple[int, int, int]:
        """Return the ends of the three parts of a series."""
        count = len(series.times)
        rest = count - round(self.config.test_share * count)
        return rest - round(self.config.validation * rest), rest, count

    def _windows(self, split: Split, stride: int = 1) -> Labelled:
        c = self.config
        histories, futures = [], []
        number = ("train", "validation", "test").index(split)
        for series in self._file.series:
            if series.fault is not None:  # once: a bad series is a bad sample
                histories.append(series)
                futures.append(torch.full((c.horizon, series.values.shape[1]), torch.nan))
                continue
            ends = (0, *self._ends(series))
            first = ends[number] - (c.history if c.overlap else 0)
            for start in range(max(0, first), ends[number + 1] - c.history - c.horizon + 1, stride):
                middle = start + c.history
                future = series.values[middle : middle + c.horizon]
                history = series.part(start, middle)
                if not (future.isnan().all() or history.values.isnan().all()):
                    histories.append(history)
                    futures.append(future)
        if not histories:
            longest = max(len(series.times) for series in self._file.series)
            raise DataError(
                c.file,
                found=f"series of up to {longest} steps, and no window of {c.history} + {c.horizon} in a {split} part",
                expected="parts as long as a window",
                hint="Take a smaller history or horizon, larger shares, or overlap: true.",
            )
        return Labelled(histories, futures)
