"""Graphs, and batches of graphs as lists of the edges to each node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from itnet_core import Edges, ShapeError


class Graph(NamedTuple):
    """A graph, as PyTorch Geometric's `Data` holds it.

    Example:
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])  # a path of three nodes, in both directions
        >>> Graph(torch.randn(3, 2), edge_index).with_weights().edge_weight
        tensor([1., 1., 1., 1.])

    Attributes:
        x: features of the nodes, floating, shape (n, c).
        edge_index: source and target of each edge, int64, shape (2, E).
        edge_weight: weights of the edges, floating, shape (E,); `None` for 1 each.
    """

    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None = None

    def with_weights(self) -> Graph:
        """Return the graph with a weight of each edge."""
        if self.edge_weight is not None:
            return self
        return self._replace(edge_weight=self.x.new_ones(self.edge_index.shape[1]))


class Graphs(NamedTuple):
    """A batch of graphs of any sizes, with the edges to each node in lists of equal length.

    Example:
        >>> path = Graph(torch.randn(3, 2), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> graphs = Graphs.of([path, Graph(torch.randn(1, 2), torch.zeros(2, 0, dtype=torch.int64))])
        >>> graphs.x.shape, graphs.sizes, graphs.sources[0]
        (torch.Size([2, 3, 2]), tensor([3, 1]), tensor([[1, 0],
                [0, 2],
                [1, 0]]))

    Attributes:
        x: features of the nodes, floating, shape (B, N, c); 0 for padding.
        sizes: number of nodes of each graph, 1 to N; int64, shape (B,).
        sources: the node that each edge to a node comes from, int64, shape (B, N, K).
        weights: weights ≥ 0 of the edges, floating, shape (B, N, K); 0 for none.
    """

    x: Tensor
    sizes: Tensor
    sources: Tensor
    weights: Tensor

    @classmethod
    def of(cls, graphs: Sequence[Graph]) -> Graphs:
        """Collate graphs into a batch."""
        x = pad_sequence([graph.x for graph in graphs], batch_first=True)
        sizes = torch.tensor([len(graph.x) for graph in graphs], device=x.device)
        indices = [graph.edge_index + number * x.shape[1] for number, graph in enumerate(graphs)]
        source, target = torch.cat(indices, 1)
        weights = torch.cat([graph.with_weights().edge_weight for graph in graphs])  # type: ignore[misc]
        count = target.bincount(minlength=x.shape[0] * x.shape[1])
        order = target.argsort(stable=True)
        row = target[order]
        column = torch.arange(len(row), device=x.device) - (count.cumsum(0) - count)[row]
        shape = x.shape[0] * x.shape[1], max(1, int(count.max()))
        lists = source.new_zeros(shape).index_put((row, column), source[order] % x.shape[1])
        weights = weights.new_zeros(shape).index_put((row, column), weights[order])
        return cls(x, sizes, lists.view(*x.shape[:2], -1), weights.view(*x.shape[:2], -1))

    @property
    def mask(self) -> Tensor:
        """Mask of the nodes that are not padding, bool, (B, N)."""
        return torch.arange(self.x.shape[1], device=self.x.device) < self.sizes.unsqueeze(1)

    @property
    def edges(self) -> Edges:
        """Edges, for `Field.with_edges`."""
        return Edges(self.sources, self.weights)

    def adjacency(self) -> Tensor:
        """Return the matrices whose entry (i, j) is the weight of the edges from node j to node i, (B, N, N)."""
        shape = *self.x.shape[:2], self.x.shape[1]
        return self.weights.new_zeros(shape).scatter_add(2, self.sources, self.weights)


def check_graphs(inputs: Graphs, channels: int, place: str) -> None:
    """Check a batch of graphs.

    Raises:
        ShapeError: the inputs are not `Graphs` of so many features, a tensor has another shape or dtype, or a size is
            not in 1 to N.
    """
    expected = f"Graphs(x (B, N, {channels}), sizes (B,), sources (B, N, K), weights (B, N, K))"
    if not isinstance(inputs, Graphs) or not all(isinstance(part, Tensor) for part in inputs):
        hint = "Graphs.of([graph, ...]) collates graphs."
        raise ShapeError(place, found=type(inputs).__name__, expected=expected, hint=hint)
    x, sizes, *_ = inputs
    sound = x.ndim == 3 and x.shape[2] == channels and x.is_floating_point() and 0 not in x.shape[:2]
    if not sound or sizes.shape != x.shape[:1] or sizes.dtype != torch.int64:
        found = ", ".join(f"{tensor.dtype} of shape {tuple(tensor.shape)}" for tensor in inputs)
        raise ShapeError(place, found=found, expected=expected)
    if not torch.compiler.is_compiling() and not ((sizes >= 1) & (sizes <= x.shape[1])).all():
        raise ShapeError(place, found=f"sizes {sizes.tolist()}", expected=f"1 to N = {x.shape[1]}")
