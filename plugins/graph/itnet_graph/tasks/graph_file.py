"""Classification and regression of your own graphs, in files of JSON lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import PositiveFloat

from itnet_core import Detection
from itnet_graph.data.detected_graphs import detect_graphs
from itnet_graph.data.graph_file import GraphRow, read_graphs
from itnet_graph.tasks.graph_task import Finite, GraphTask, class_name
from itnet_tasks import Classification, HeldOut, Labelled, Regression, hold_out, typical


class LabelledGraphs(GraphTask):
    """Base of tasks on the graphs of files, with a label each."""

    class Config(HeldOut, GraphTask.Config):
        train: str
        """File of the training graphs: JSON lines, one graph a line."""

        validation_file: str | None = None
        """File of the validation graphs; by default a part of `train`."""

        test: str | None = None
        """File of the test graphs; by default a fold of `train`."""

        label: str = "label"
        """Key of the label."""

        group_by: str | None = None
        """Key of the group of a graph: no split divides the graphs of one group."""

    @property
    def file(self) -> str:
        """File of the training graphs."""
        return str(self.config.train)

    def training_rows(self) -> Sequence[GraphRow]:
        """Return the training graphs."""
        rows: Any = self._train_and_test[0].sources
        return list(rows)

    def training(self) -> Labelled:
        """Return the training graphs; without a test file, a fold of them is held out for the test split."""
        return self._train_and_test[0]

    def validation(self) -> Labelled | None:
        """Return the graphs of the validation file, or `None` without one."""
        path = self.config.validation_file
        return None if path is None else self._labelled(self._read(path))

    def test(self) -> Labelled:
        """Return the graphs of the test file, or the graphs held out."""
        return self._train_and_test[1]

    def label_of(self, label: Any) -> float | None:
        """Return the number of a label as the file has it, or `None` if it is not a label."""
        raise NotImplementedError

    @property
    def labels(self) -> str:
        """What a label is, for errors."""
        raise NotImplementedError

    @cached_property
    def _rows(self) -> list[GraphRow]:
        return self._read(self.config.train)

    @cached_property
    def _train_and_test(self) -> tuple[Labelled, Labelled]:
        everything = self._labelled(self._rows)
        if self.config.test is None:
            return hold_out(everything, self.config)
        return everything, self._labelled(self._read(self.config.test))

    def _read(self, path: str) -> list[GraphRow]:
        c = self.config
        return read_graphs(Path(path).expanduser(), directed=c.directed, label=c.label, group_by=c.group_by)

    def _labelled(self, rows: Sequence[GraphRow]) -> Labelled:
        checked, labels = [], []
        for row in rows:
            label = self.label_of(row.label)
            if row.fault is None and label is None:
                row = row._replace(fault=(f"the label {row.label!r:.60}", self.labels))
            if row.fault is None and self.config.group_by is not None and row.group is None:
                row = row._replace(fault=("no group", f"one at the key {self.config.group_by!r}"))
            checked.append(row)
            labels.append(0 if label is None else label)
        groups = None if self.config.group_by is None else [row.group or "" for row in checked]
        return Labelled(checked, torch.tensor(labels), groups)


class GraphFile(LabelledGraphs, Classification):
    """Classification of the graphs of a file of JSON lines.

    Example:
        >>> lines = [f'{{"nodes": {4 + n % 2}, "edges": [[0, 1], [1, 2]], "label": "{n % 2}"}}' for n in range(20)]
        >>> _ = Path("graphs.jsonl").write_text("\\n".join(lines))
        >>> task = GraphFile(train="graphs.jsonl")
        >>> task.classes, len(task.dataset("train")), len(task.dataset("test"))
        (('0', '1'), 14, 4)
    """

    class Config(LabelledGraphs.Config, Classification.Config):
        classes: tuple[str, ...] | None = None
        """Class names; by default the sorted labels of the training graphs. A checkpoint stores the names, so that it
        predicts without the data."""

        def completed(self) -> Self:
            """Fill in classes, mean and standard deviation from the training graphs, if they exist already."""
            return self.complete(GraphFile)

    fields = (*LabelledGraphs.fields, "classes")

    @classmethod
    def detect(cls, path: Path) -> Detection | None:
        """Detect graphs with a class each."""
        return detect_graphs(path, "class")

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names.

        Raises:
            DataError: the configuration does not list them, and the training file is missing.
        """
        return self.config.classes or self._classes

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        return tuple(sorted({name for row in self._rows if (name := class_name(row.label))}))

    def label_of(self, label: Any) -> int | None:
        """Return the number of a class."""
        name = class_name(label)
        return self.classes.index(name) if name in self.classes else None

    @property
    def labels(self) -> str:
        """What a label is, for errors."""
        return f"one of {', '.join(map(repr, self.classes[:10]))}" + ("" if len(self.classes) <= 10 else ", …")

    def measured(self, rows: Sequence[GraphRow]) -> dict[str, Any]:
        """Return mean and standard deviation of the features, and the classes."""
        return {**super().measured(rows), "classes": self.classes}


class GraphFileRegression(LabelledGraphs, Regression):
    """Regression of one number for each graph of a file of JSON lines.

    Example:
        >>> lines = [f'{{"nodes": {n}, "edges": [[0, 1]], "size": {n}}}' for n in range(2, 22)]
        >>> _ = Path("graphs.jsonl").write_text("\\n".join(lines))
        >>> task = GraphFileRegression(train="graphs.jsonl", label="size", centre=10, scale=5)
        >>> task.describe(torch.tensor([[0.5]]))
        [{'value': 12.5}]
    """

    class Config(LabelledGraphs.Config, Regression.Config):
        centre: Finite | None = None
        """A typical number, which an untrained model predicts; by default the mean of the training labels."""

        scale: PositiveFloat | None = None
        """Typical distance of numbers from the centre, the unit of the loss; by default the standard deviation of the
        training labels."""

        def completed(self) -> Self:
            """Fill in centre, scale, mean and standard deviation from the training graphs, if they exist already."""
            return self.complete(GraphFileRegression)

    fields = (*LabelledGraphs.fields, "centre", "scale")

    @classmethod
    def detect(cls, path: Path) -> Detection | None:
        """Detect graphs with a number each."""
        return detect_graphs(path, "number")

    labels = "a finite number"

    @property
    def centre(self) -> float:  # type: ignore[override]
        """A typical number."""
        return float(self.settings.centre)

    @property
    def scale(self) -> float:  # type: ignore[override]
        """Typical distance of numbers from the centre."""
        return float(self.settings.scale)

    def label_of(self, label: Any) -> float | None:
        """Return a number within the range of float32, in which models compute."""
        number = isinstance(label, int | float) and not isinstance(label, bool)
        fits = number and math.isfinite(label) and abs(label) <= torch.finfo(torch.float32).max
        return float(label) if fits else None

    def measured(self, rows: Sequence[GraphRow]) -> dict[str, Any]:
        """Return mean and standard deviation of the features, and centre and scale of the labels."""
        return {**super().measured(rows), **typical([float(row.label) for row in rows])}
