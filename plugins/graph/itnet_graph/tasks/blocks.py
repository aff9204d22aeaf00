"""Classification of the nodes of a generated graph by their block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from itnet_graph.data.blocks import block_graph
from itnet_graph.data.graph_file import GraphRow
from itnet_graph.graphs import Graph
from itnet_graph.tasks.loader import load_graph
from itnet_graph.tasks.node_classification import LabelledNodes, NodeClassification
from itnet_graph.tasks.user_graphs import UserGraphs

Probability = Annotated[float, ConfigField(ge=0, le=1)]
AtLeastTwo = Annotated[int, ConfigField(ge=2)]


class GraphBlocks(UserGraphs, NodeClassification):
    """The block of each node of a random graph, the contextual stochastic block model.

    Features tell the block of a node with errors. Those of its neighbours help where most neighbours are of the same
    block (high `homophily`), or of other blocks (homophily 0). At homophily 1 / blocks, edges tell nothing.

    Example:
        >>> task = GraphBlocks(nodes=100)
        >>> task.classes, task.dataset("test")[0].inputs.x.shape
        (('block 1', 'block 2', 'block 3', 'block 4'), torch.Size([100, 16]))
    """

    class Config(NodeClassification.Config):
        nodes: Annotated[int, ConfigField(ge=20)] = 1000
        """Nodes of the graph."""

        blocks: AtLeastTwo = 4
        """Blocks, of equal size."""

        degree: PositiveFloat = 8.0
        """Mean number of neighbours of a node."""

        homophily: Probability = 0.8
        """Share of neighbours of the same block."""

        features: PositiveInt = 16
        """Features of a node."""

        signal: NonNegativeFloat = 1.0
        """Distance of the blocks' mean features from 0, in standard deviations."""

        graph_seed: NonNegativeInt = 0
        """Seed of the graph."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the blocks."""
        return tuple(f"block {number + 1}" for number in range(self.config.blocks))

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """Number of features."""
        return {"features": self.config.features}

    @cached_property
    def graphs(self) -> Sequence[LabelledNodes]:
        """The graph."""
        c, random = self.config, torch.Generator().manual_seed(self.config.graph_seed)
        options = {"degree": c.degree, "homophily": c.homophily, "features": c.features, "signal": c.signal}
        graph, block = block_graph(c.nodes, c.blocks, **options, random=random)
        return [LabelledNodes(GraphRow(graph, f"graph of seed {c.graph_seed}"), block)]

    def loader(self, *, training: bool) -> Callable[[GraphRow | Path], Graph]:
        """Return a function that returns the graph, or reads that of a user's file."""
        return partial(load_graph, features=self.config.features, directed=False)
