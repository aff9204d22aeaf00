"""Classification of generated graphs by their motif."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt, PositiveInt

from itnet_graph.data.graph_file import GraphRow
from itnet_graph.data.motifs import MOTIFS, motif_graph
from itnet_graph.graphs import Graph, Graphs
from itnet_graph.tasks.loader import load_graph
from itnet_graph.tasks.user_graphs import UserGraphs
from itnet_tasks import Classification, Labelled


class GraphMotifs(UserGraphs, Classification):
    """Which motif a random tree contains: a cycle of 5 nodes, a cycle of 6, or a house.

    All nodes have the same feature, and all classes the same numbers of nodes, so a model that does not read edges
    guesses. The two cycles also have the same number of edges. A graph depends on `graph_seed`, its number and the
    numbers of samples alone.

    Example:
        >>> task = GraphMotifs(samples=30, test_samples=9)
        >>> batch = task.collate([task.dataset("test")[number] for number in range(3)])
        >>> batch.inputs.x.shape[2], [task.classes[number] for number in batch.targets]
        (1, ['cycle of 5', 'cycle of 6', 'house'])
    """

    class Config(Classification.Config):
        nodes: Annotated[int, ConfigField(ge=8)] = 25
        """Largest number of nodes; a graph has between half as many, at least 8, and this many."""

        samples: PositiveInt = 1000
        """Graphs for training and validation."""

        test_samples: PositiveInt = 500
        """Graphs for test."""

        graph_seed: NonNegativeInt = 0
        """Seed of the graphs."""

    modality = "graph"
    classes = tuple(MOTIFS)

    def training(self) -> Labelled:
        """Return the graphs for training and validation."""
        return self._draw(self.config.samples, 2 * self.config.graph_seed)

    def test(self) -> Labelled:
        """Return the graphs for test."""
        return self._draw(self.config.test_samples, 2 * self.config.graph_seed + 1)

    def loader(self, *, training: bool) -> Callable[[GraphRow | Path], Graph]:
        """Return a function that returns a graph, or reads that of a user's file."""
        return partial(load_graph, features=1, directed=False)

    def collate_inputs(self, inputs: Sequence[Graph]) -> Graphs:
        """Collate graphs of any sizes."""
        return Graphs.of(inputs)

    def _draw(self, count: int, seed: int) -> Labelled:
        random, least = torch.Generator().manual_seed(seed), max(8, self.config.nodes // 2)
        rows = list[GraphRow]()
        labels = torch.arange(count) % len(MOTIFS)
        for label in labels.tolist():
            nodes = int(torch.randint(least, self.config.nodes + 1, (), generator=random))
            rows.append(GraphRow(motif_graph(self.classes[label], nodes, random), f"graph {len(rows)} of seed {seed}"))
        return Labelled(rows, labels)
