"""Classification and regression of your own time series, in tables or `.ts` files."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeFloat, PositiveFloat

from itnet_core import Detection
from itnet_series.data.augmentation import SeriesAugmentation
from itnet_series.data.detected_series import detect_series
from itnet_series.data.layout import Column, read_series
from itnet_series.data.time_series import SeriesFault, SeriesFile, TimeSeries
from itnet_series.tasks.series_task import SeriesLoader, SeriesTask, statistics
from itnet_tasks import Classification, HeldOut, Labelled, Regression, hold_out, typical


class LabelledSeries(SeriesTask):
    """Base of tasks on series with a label each."""

    class Config(HeldOut, SeriesTask.Config):
        train: str
        """File of the training series: .csv, .tsv, .txt (tabs), .parquet or .ts."""

        validation_file: str | None = None
        """File of the validation series; by default a part of `train`."""

        test: str | None = None
        """File of the test series; by default a fold of `train`."""

        label: Column = "label"
        """Column of the label, which is the same in all rows of a series. A `.ts` file has its labels at the end of its
        lines."""

        group_by: Column | None = None
        """Column of the group of a series: no split divides the series of one patient, machine or day."""

        augment: bool = True
        """Augment training series, as the next four options say."""

        jitter: NonNegativeFloat = 0.0
        """Standard deviation of noise, in units of a channel's."""

        magnitude: NonNegativeFloat = 0.0
        """Standard deviation of the logarithm of a factor on the distance of each channel from its mean."""

        warp: NonNegativeFloat = 0.0
        """Standard deviation of the logarithm of the rate at which time passes, which varies along a series."""

        crop: Annotated[float, ConfigField(gt=0, le=1)] = 1.0
        """Smallest share of the consecutive steps of a series that is kept."""

    def training(self) -> Labelled:
        """Return the training series; without a test file, a fold of them is held out for the test split."""
        return self._train_and_test[0]

    def validation(self) -> Labelled | None:
        """Return the series of the validation file, or `None` without one."""
        path = self.config.validation_file
        return None if path is None else self._labelled(self._read(path, self._file.channels))

    def test(self) -> Labelled:
        """Return the series of the test file, or the series held out."""
        return self._train_and_test[1]

    def label_of(self, text: str | None) -> float | None:
        """Return the number of a label as the file writes it, or `None` if it is not a label."""
        raise NotImplementedError

    def learned(self) -> dict[str, Any]:
        """Return channels, statistics and extent of the training series, without the fields that are configured."""
        series = self.training().sources
        found = statistics(series, self._file.channels)  # type: ignore[arg-type]
        found["extent"] = max((one.extent for one in series if one.fault is None), default=1.0)
        return {name: value for name, value in found.items() if getattr(self.config, name) is None}

    def loader(self, *, training: bool) -> Callable[[TimeSeries | Path], TimeSeries]:
        """Return a function that checks a series and augments it for training, or reads that of a user's file."""
        c, augmentation = self.settings, None
        if training and c.augment:
            mean, std = torch.tensor(c.mean), torch.tensor(c.std)
            augmentation = SeriesAugmentation(mean, std, c.jitter, c.magnitude, c.warp, c.crop)
        return SeriesLoader(c, augmentation)

    @cached_property
    def _file(self) -> SeriesFile:
        return self._read(self.config.train)

    @cached_property
    def _train_and_test(self) -> tuple[Labelled, Labelled]:
        everything = self._labelled(self._file)
        if self.config.test is None:
            return hold_out(everything, self.config)
        return everything, self._labelled(self._read(self.config.test, self._file.channels))

    def _read(self, path: str, channels: tuple[Column, ...] | None = None) -> SeriesFile:
        c = self.config if channels is None else self.config.model_copy(update={"channels": channels})
        return read_series(Path(path).expanduser(), c, c.label, c.group_by)

    def _labelled(self, file: SeriesFile) -> Labelled:
        series, labels = [], []
        for one in file.series:
            label = self.label_of(one.label)
            if label is None and one.fault is None:
                one = one._replace(fault=SeriesFault(one.place, f"the label {one.label!r:.60}", self.labels))
            if self.config.group_by is not None and one.group is None and one.fault is None:
                one = one._replace(fault=SeriesFault(one.place, "no group", f"one in column {self.config.group_by!r}"))
            series.append(one)
            labels.append(0 if label is None else label)
        groups = None if self.config.group_by is None else [one.group or "" for one in series]
        return Labelled(series, torch.tensor(labels), groups)

    @property
    def labels(self) -> str:
        """What a label is, for errors."""
        raise NotImplementedError


class SeriesTable(LabelledSeries, Classification):
    """Classification of the series of a table or a `.ts` file.

    Example:
        >>> rows = [f"{n % 2},{','.join(str(n % 2 + t / 9) for t in range(9))}" for n in range(20)]
        >>> _ = Path("ramps.csv").write_text("\\n".join(["label,0,1,2,3,4,5,6,7,8", *rows]))
        >>> task = SeriesTable(train="ramps.csv", layout="wide")
        >>> task.classes, len(task.dataset("train")), task.config.extent
        (('0', '1'), 14, 9.0)
    """

    class Config(LabelledSeries.Config, Classification.Config):
        classes: tuple[str, ...] | None = None
        """Class names; by default those that a `.ts` file declares, or the sorted labels of the training series. A
        checkpoint stores the names, so that it predicts without the data."""

        def completed(self) -> Self:
            """Fill in classes, channels, statistics and extent from the training series, if they exist already."""
            return self.complete(SeriesTable)

    fields = (*SeriesTask.fields, "classes")

    @classmethod
    def detect(cls, path: Path) -> Detection | None:
        """Detect a table of series with classes, or `.ts` files."""
        found = detect_series(path)
        return None if found is None or not found.names else found.classification()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names.

        Raises:
            DataError: the configuration does not list them, and the training file is missing.
        """
        return self.config.classes or self._classes

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        file = self._file
        return file.classes or tuple(sorted({one.label for one in file.series if one.label is not None}))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.classes)}

    def learned(self) -> dict[str, Any]:
        """Return classes, channels, statistics and extent, without the fields that are configured."""
        return {**super().learned(), "classes": self.classes}

    def label_of(self, text: str | None) -> int | None:
        """Return the number of a class."""
        return None if text is None else self._numbers.get(text)

    @property
    def labels(self) -> str:
        """What a label is."""
        return f"one of {', '.join(map(repr, self.classes[:10]))}" + ("" if len(self.classes) <= 10 else ", …")


class SeriesTableRegression(LabelledSeries, Regression):
    """Regression of one number for each series of a table or a `.ts` file.

    Example:
        >>> rows = [f"{n},{','.join(str(n + t / 9) for t in range(9))}" for n in range(20)]
        >>> _ = Path("ramps.csv").write_text("\\n".join(["height,0,1,2,3,4,5,6,7,8", *rows]))
        >>> task = SeriesTableRegression(train="ramps.csv", layout="wide", label="height", centre=10, scale=5)
        >>> task.describe(torch.tensor([[0.5]]))
        [{'value': 12.5}]
    """

    class Config(LabelledSeries.Config, Regression.Config):
        centre: float | None = None
        """A typical number, which an untrained model predicts; by default the mean of the training labels."""

        scale: PositiveFloat | None = None
        """Typical distance of numbers from the centre, the unit of the loss; by default the standard deviation of the
        training labels."""

        def completed(self) -> Self:
            """Fill in centre, scale, channels, statistics and extent from the training series, if they exist."""
            return self.complete(SeriesTableRegression)

    fields = (*SeriesTask.fields, "centre", "scale")
    labels = "a finite number"

    @property
    def centre(self) -> float:  # type: ignore[override]
        """A typical number."""
        return float(self.settings.centre)

    @property
    def scale(self) -> float:  # type: ignore[override]
        """Typical distance of numbers from the centre."""
        return float(self.settings.scale)

    def learned(self) -> dict[str, Any]:
        """Return centre, scale, channels, statistics and extent, without the fields that are configured."""
        sources, labels, _ = self.training()
        sound = [label for one, label in zip(sources, torch.as_tensor(labels).tolist(), strict=True) if not one.fault]
        own = typical(sound)
        return {**super().learned(), **{name: own[name] for name in own if getattr(self.config, name) is None}}

    def label_of(self, text: str | None) -> float | None:
        """Return a number within the range of float32, in which models compute."""
        try:
            number = float(text or "")
        except ValueError:
            return None
        return number if math.isfinite(number) and abs(number) <= torch.finfo(torch.float32).max else None
