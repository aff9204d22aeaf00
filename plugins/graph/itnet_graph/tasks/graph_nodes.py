"""Classification of the nodes of your own graphs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self, get_args

import torch
from pydantic import NonNegativeInt

from itnet_core import DataError, Detection, Split
from itnet_graph.data.detected_graphs import detect_graphs
from itnet_graph.data.files import read_rows
from itnet_graph.data.graph_file import GraphRow
from itnet_graph.tasks.graph_task import GraphTask, class_name
from itnet_graph.tasks.node_classification import NONE, LabelledNodes, NodeClassification
from itnet_tasks import warn_skipped

SPLITS = get_args(Split)


class GraphNodes(GraphTask, NodeClassification):
    """Classification of the nodes of the graphs of a file: JSON lines, or a NumPy archive of one graph.

    Example:
        >>> import json
        >>> ring = [[node, (node + 1) % 20] for node in range(20)]
        >>> labels = ["even", "odd"] * 9 + [None] * 2
        >>> _ = Path("ring.jsonl").write_text(json.dumps({"nodes": 20, "edges": ring, "labels": labels}))
        >>> task = GraphNodes(file="ring.jsonl", validation=0.2)
        >>> [int((task.dataset(split)[0].label >= 0).sum()) for split in ("train", "validation", "test")]
        [12, 2, 4]
    """

    class Config(GraphTask.Config, NodeClassification.Config):
        file: str
        """File of the graphs: JSON lines, one graph a line, or an archive `.npz` of one graph, as the data sets Amazon,
        Coauthor and those of heterophilous graphs are published."""

        label: str = "labels"
        """Key of the labels of a graph in JSON: a list of one for each node, `null` for none."""

        split: str = "split"
        """Key of the splits of a graph in JSON: `train`, `validation` or `test` for all its nodes, or a list of one for
        each node, `null` for none. Without splits, the task divides the nodes."""

        split_number: NonNegativeInt = 0
        """Number of the split, in an archive of several."""

        classes: tuple[str, ...] | None = None
        """Class names; by default the sorted labels. A checkpoint stores the names, so that it predicts without the
        data."""

        def completed(self) -> Self:
            """Fill in classes, mean and standard deviation from the graphs, if they exist already."""
            return self.complete(GraphNodes)

    fields = (*GraphTask.fields, "classes")

    @classmethod
    def detect(cls, path: Path) -> Detection | None:
        """Detect graphs with a class for each node."""
        return detect_graphs(path, "nodes")

    @property
    def file(self) -> str:
        """File of the graphs."""
        return str(self.config.file)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names.

        Raises:
            DataError: the configuration does not list them, and the file is missing.
        """
        return self.config.classes or self._classes

    @cached_property
    def graphs(self) -> Sequence[LabelledNodes]:
        """The graphs of the file.

        Raises:
            DataError: the file is missing or faulty, or some of its graphs name splits, and others do not.
        """
        found = [self._with_classes(row) for row in self._rows]
        if len({graph.splits is None for graph in found}) > 1:
            expected = f"splits at the key {self.config.split!r} of every graph, or of none"
            raise DataError(self.file, found="splits of some graphs", expected=expected)
        return found

    def training_rows(self) -> Sequence[GraphRow]:
        """Return the graphs with nodes for training."""
        return [graph.row for graph in self.graphs if graph.splits is None or "train" in graph.splits]

    def measured(self, rows: Sequence[GraphRow]) -> dict[str, Any]:
        """Return mean and standard deviation of the features, and the classes."""
        return {**super().measured(rows), "classes": self.classes}

    @cached_property
    def _rows(self) -> list[GraphRow]:
        """The sound graphs of the file."""
        c = self.config
        path = Path(c.file).expanduser()
        rows = read_rows(path, directed=c.directed, label=c.label, split=c.split, split_number=c.split_number)
        rows, sound = [_checked(row) for row in rows], list[GraphRow]()
        for row in rows:
            if row.fault is None or c.on_bad_sample == "refuse":
                row.checked()
                sound.append(row)
            else:
                warn_skipped(len(rows) - len(sound), len(rows), f"{row.place}: found {row.fault[0]}")
        if not sound:
            raise DataError(str(path), found="no sound graph", expected="at least one")
        return sound

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        return tuple(sorted({str(label) for row in self._rows for label in row.label if label is not None}))

    def _with_classes(self, row: GraphRow) -> LabelledNodes:
        numbers: dict[Any, int] = {name: number for number, name in enumerate(self.classes)} | {None: NONE}
        names = [None if label is None else str(label) for label in row.label]
        if unknown := {*names} - numbers.keys():
            expected = f"one of {', '.join(self.classes):.300}"
            raise DataError(row.place, found=f"the label {min(map(str, unknown))!r:.60}", expected=expected)
        return LabelledNodes(row, torch.tensor([numbers[name] for name in names]), row.split)


def _checked(row: GraphRow) -> GraphRow:
    """Return a row with a list of splits, or with a fault."""
    if row.fault is not None:
        return row
    nodes, labels = len(row.graph.x), row.label
    split = [row.split] * nodes if isinstance(row.split, str) else row.split
    if not isinstance(labels, list) or len(labels) != nodes:
        found = f"{len(labels)} labels" if isinstance(labels, list) else f"the labels {labels!r:.60}"
        return row._replace(fault=(found, f"a list of {nodes}, one for each node"))
    for node, label in enumerate(labels):
        if label is not None and class_name(label) is None:
            expected = "a text that is not empty, a whole number, or null"
            return row._replace(fault=(f"the label {label!r:.60} of node {node}", expected))
    if split is not None and (not isinstance(split, list) or len(split) != nodes or {*split} - {*SPLITS, None}):
        expected = f"{', '.join(SPLITS)}, or a list of {nodes} of them or null"
        return row._replace(fault=(f"the split {row.split!r:.60}", expected))
    return row._replace(split=split)
