"""Encoder of the nodes of graphs."""

from __future__ import annotations

from typing import Annotated, Any, Self

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import AXES, ComponentConfig, ComponentRef, Encoder, Field
from itnet_graph.encoders.encodings import laplacian_eigenvectors, return_probabilities
from itnet_graph.encoders.network import Network
from itnet_graph.graphs import Graph, Graphs, check_graphs

Finite = Annotated[float, ConfigField(allow_inf_nan=False)]


class GraphEncoder(Encoder):
    """Nodes of a graph as points, and its edges as those of the points; the value is a linear map of a node's features.

    Each node of a graph of n nodes has the weight 1/n. Encodings of a node's place join its features: the probabilities
    that a random walk returns to it, and eigenvectors of the Laplacian, whose signs are random in training. The first
    three eigenvectors are the positions x, y and z, so that kernels of positions and distances apply, too; without
    eigenvectors, all nodes lie at 0.

    Example:
        >>> from itnet_graph.graphs import Graph, Graphs
        >>> encoder = GraphEncoder(64, features=2, walk=4)
        >>> graph = Graph(torch.randn(3, 2), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> field = encoder(Graphs.of([graph]))
        >>> field, field.points.edges.sources.shape
        (Field(B=1, N=3, d=64, p=4), torch.Size([1, 3, 2]))
    """

    modality = "graph"
    axes = "xyz"
    attributes = ("edges",)

    class Config(ComponentConfig):
        features: PositiveInt = 1
        """Features of each node."""

        walk: NonNegativeInt = 0
        """Steps of a random walk, whose probabilities of return join the features."""

        laplacian: NonNegativeInt = 0
        """Number of eigenvectors of the Laplacian that join the features; the first three are positions, too."""

        network: ComponentRef | None = None
        """A layer or a model of `torch_geometric.nn` to apply to the nodes: its name and options, such as
        `{"name": "GIN", "hidden_channels": 64, "num_layers": 2}`."""

        mean: tuple[Finite, ...] | None = None
        """Mean of each feature, which is subtracted; a task sets it to that of its training graphs. 0 by default."""

        std: tuple[PositiveFloat, ...] | None = None
        """Standard deviation of each feature, which is divided by; a task sets it. 1 by default."""

        @model_validator(mode="after")
        def _fits(self) -> Self:
            for name in ("mean", "std"):
                numbers = getattr(self, name)
                if numbers is not None and len(numbers) != self.features:
                    raise ValueError(f"{name} of {self.features} numbers, one for each feature")
            return self

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        c = self.config
        # They follow from the configuration, so a checkpoint does not contain them.
        self.register_buffer("mean", torch.tensor(c.mean or [0.0] * c.features), persistent=False)
        self.register_buffer("std", torch.tensor(c.std or [1.0] * c.features), persistent=False)
        self.projection = nn.Linear(c.features + c.walk + c.laplacian, dim)
        self.network = None if c.network is None else Network(c.network, dim)

    def forward(self, inputs: Graphs) -> Field:
        """Encode graphs as the field of their nodes, with edges.

        Raises:
            ShapeError: the inputs are not `Graphs` with the configured features.
            FieldError: an edge leads from a node that does not exist, or has a negative weight.
        """
        c, dtype = self.config, self.projection.weight.dtype
        check_graphs(inputs, c.features, "GraphEncoder(inputs)")
        mask, weights = inputs.mask, inputs.weights.to(torch.promote_types(dtype, torch.float32))
        known = [((inputs.x.to(self.mean) - self.mean) / self.std).to(dtype)]
        positions = weights.new_zeros(*mask.shape, len(AXES))
        if c.walk or c.laplacian:
            adjacency = inputs._replace(weights=weights).adjacency()
        if c.walk:
            known.append(return_probabilities(adjacency, c.walk).to(dtype))
        if c.laplacian:
            vectors = laplacian_eigenvectors(adjacency, inputs.sizes, c.laplacian)
            if self.training:
                vectors = vectors * (2 * torch.randint(2, (len(vectors), 1, c.laplacian), device=vectors.device) - 1)
            known.append(vectors.to(dtype))
            positions = F.pad(vectors[..., :3], (1, 3 - min(3, c.laplacian)))
        values = self.projection(torch.cat(known, -1))
        if self.network is not None:
            values = self._apply_network(self.network, values, inputs)
        shares = mask.to(positions) / inputs.sizes.unsqueeze(1)
        return Field(values, positions, shares).with_edges(inputs._replace(weights=weights).edges)

    def _apply_network(self, network: Network, values: Tensor, inputs: Graphs) -> Tensor:
        """Apply the network to the nodes of all graphs as one graph."""
        mask = inputs.mask
        number = mask.flatten().cumsum(0).view(mask.shape) - 1
        graph, target, column = (inputs.weights * mask.unsqueeze(-1)).nonzero(as_tuple=True)
        edge_index = torch.stack([number[graph, inputs.sources[graph, target, column]], number[graph, target]])
        nodes = network(values[mask], edge_index, inputs.weights[graph, target, column].to(values))
        return torch.zeros_like(values).masked_scatter(mask.unsqueeze(-1), nodes.to(values))

    def example(self) -> Graphs:
        """Return a graph of five nodes and one of three, of random features."""
        edges = [[[0, 1, 1, 2, 2, 3, 2, 0], [1, 0, 2, 1, 3, 2, 0, 2]], [[0, 1], [1, 2]]]
        sizes = 5, 3
        return Graphs.of(
            [Graph(torch.randn(n, self.config.features), torch.tensor(e)) for n, e in zip(sizes, edges, strict=True)]
        )
