"""Base of tasks with a class for each node of one or several graphs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from itnet_core import DataError, Metric, ShapeError, Split
from itnet_graph.data.graph_file import GraphRow
from itnet_graph.graphs import Graph, Graphs
from itnet_tasks import Classification, HeldOut, Labelled, LabelledDataset, hold_out

NONE = -1
"""Target of a node without a class, of another split, or of padding."""


class LabelledNodes(NamedTuple):
    """A graph with classes of its nodes.

    Attributes:
        row: the graph.
        classes: class number of each node, or `NONE`; int64, shape (n,).
        splits: split of each node, or `None` for none of them; `None` if the task divides the nodes.
    """

    row: GraphRow
    classes: Tensor
    splits: Sequence[str | None] | None = None


class NodeClassification(Classification):
    """Base of tasks with one class per node.

    A sample is a whole graph with the classes of the nodes of one split, so that a model sees all nodes and edges, and
    no class of another split. Where the data name no splits, the nodes that have a class are divided, stratified by
    class; `training_samples` is a number of nodes.
    """

    class Config(HeldOut, Classification.Config):
        repeats: PositiveInt = 1
        """Number of times that an epoch of training visits each graph. A single graph is one step of training."""

    modality = "graph"
    mixes_sizes = False

    @property
    @abstractmethod
    def graphs(self) -> Sequence[LabelledNodes]:
        """The graphs; either all of them name the splits of their nodes, or none does."""

    @property
    def head(self) -> Mapping[str, Any]:
        """A head with one logit per class at every node."""
        return {"name": "itnet-core/per-point", "outputs": super().head["classes"]}

    def training(self) -> Labelled:
        """Return the numbers of the nodes for training and validation, counted over all graphs, and their classes."""
        return self._of_split("train") if self._named else hold_out(self._nodes, self.config)[0]

    def validation(self) -> Labelled | None:
        """Return the nodes that the data name for validation, or `None`."""
        found = self._of_split("validation") if self._named else None
        return found if found is not None and len(found.labels) else None

    def test(self) -> Labelled:
        """Return the nodes for test."""
        return self._of_split("test") if self._named else hold_out(self._nodes, self.config)[1]

    def dataset(self, split: Split) -> LabelledDataset:
        """Return the graphs with nodes of a split.

        Raises:
            DataError: the data are missing or faulty, or the split has no node with a class.
        """
        labelled = self.test() if split == "test" else self._training_parts[split]
        if not len(labelled.labels):
            raise DataError(type(self).__name__, found="no node with a class", expected=f"nodes of the split {split!r}")
        sizes = [len(graph.classes) for graph in self.graphs]
        targets = torch.full((sum(sizes),), NONE)
        targets[labelled.sources] = torch.as_tensor(labelled.labels)
        kept = [
            (graph.row, part)
            for graph, part in zip(self.graphs, torch.split(targets, sizes), strict=True)
            if bool((part != NONE).any())
        ] * (self.config.repeats if split == "train" else 1)
        rows, parts = [row for row, _ in kept], [part for _, part in kept]
        return LabelledDataset(Labelled(rows, parts), self.loader(training=split == "train"))

    def collate_inputs(self, inputs: Sequence[Graph]) -> Graphs:
        """Collate graphs of any sizes."""
        return Graphs.of(inputs)

    def collate_targets(self, labels: Sequence[Tensor]) -> Tensor:
        """Collate the nodes' classes, shape (B, N)."""
        return pad_sequence(list(labels), batch_first=True, padding_value=NONE)

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean cross entropy over the nodes with a class, of logits (B, N, classes) and classes (B, N).

        Raises:
            ShapeError: the prediction is at other points than the nodes.
        """
        if prediction.shape[:2] != targets.shape:
            raise ShapeError(
                f"{type(self).__name__}.loss(prediction)",
                found=f"shape {tuple(prediction.shape)}",
                expected=f"a prediction for each node, {tuple(targets.shape)}",
                hint="If the trunk changes its query points, end it with {query: {block: encoder}}.",
            )
        smoothing = self.config.label_smoothing
        return F.cross_entropy(
            prediction.flatten(0, 1), targets.flatten(), ignore_index=NONE, label_smoothing=smoothing
        )

    def metrics(self) -> Mapping[str, Metric]:
        """Return the accuracy over nodes."""
        from itnet_tasks.point_accuracy import AccuracyOverPoints  # seconds of imports, which training alone needs

        return {"accuracy": AccuracyOverPoints(len(self.classes), ignore_index=NONE)}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Describe each graph by the label of each node, and the label's probability."""
        likeliest, numbers = prediction.softmax(-1).max(-1)
        return [
            {"labels": [self.classes[number] for number in row], "probabilities": probabilities}
            for row, probabilities in zip(numbers.tolist(), likeliest.tolist(), strict=True)
        ]

    @property
    def _named(self) -> bool:
        return self.graphs[0].splits is not None

    @cached_property
    def _nodes(self) -> Labelled:
        """The numbers of all nodes that have a class, and their classes."""
        classes = torch.cat([graph.classes for graph in self.graphs])
        nodes = (classes != NONE).nonzero().squeeze(1)
        return Labelled(nodes, classes[nodes])

    def _of_split(self, name: str) -> Labelled:
        splits = [split for graph in self.graphs for split in graph.splits or ()]
        return self._nodes.select(torch.tensor([splits[node] == name for node in self._nodes.sources]).nonzero()[:, 0])
