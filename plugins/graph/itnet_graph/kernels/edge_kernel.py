"""Base of the kernels whose support are the edges of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from itnet_core import (
    ComponentConfig,
    ConfigError,
    DenseEvaluator,
    Edges,
    Field,
    FieldError,
    Kernel,
    Nodes,
    Problem,
    gather_points,
    log_weights,
)

Aggregation = Literal["sum", "mean", "symmetric"]
Terms = tuple[Any, ...]


class EdgeKernel(Kernel[Terms, None]):
    """Base of kernels a(x, y) k(x, y, u(x), u(y)), where a is the weight of the edge from y to x, and 0 without one.

    With the normalization `softmax`, a multiplies e^k. The measure is counting, so the integral is a sum over the edges
    to x. The key is the query itself, whose points carry the edges (`Field.with_edges`, or the encoder `graph`).

    `tile` computes a for any block of pairs, so that every evaluator and sampler computes the same sum. `integrate`
    gathers the points y of each x, in time and memory proportional to the points times the largest number of edges to
    one point.

    Args:
        kernel: k.
        aggregation: `sum` takes the edges' weights a; `mean` divides them by d(x) = Σ_y a(x, y), and `symmetric` by
            √(d(x) d(y)).
        self_loops: whether to add an edge of weight 1 from each point to itself, where there is none.

    Raises:
        ConfigError: the kernel is a sum, or scans.
    """

    class Config(ComponentConfig):
        aggregation: Aggregation = "sum"
        """`sum` takes the weights of the edges; `mean` divides them by their sum d(x); `symmetric` by √(d(x) d(y))."""
        self_loops: bool = False
        """Whether to add an edge of weight 1 from each node to itself, where there is none."""

    measure = "counting"
    transformable = True
    reads: Sequence[str] = ("edges",)

    def __init__(self, kernel: Kernel, config: Any) -> None:
        super().__init__()
        if len(kernel.summands) > 1 or kernel.scans:
            found = "a sum" if len(kernel.summands) > 1 else "a kernel that scans"
            hint = "Write the sum of the kernels over edges."
            raise ConfigError(f"{type(self).__name__}.kernel", found=found, expected="one plain kernel", hint=hint)
        self.kernel, self.config = kernel, config
        self.heads, self.normalization, self.values = kernel.heads, kernel.normalization, kernel.values
        self.support = kernel.support
        self.reads = ("edges", *kernel.reads)

    @classmethod
    def reads_positions(cls, config: Any, axes: str) -> bool:
        """Return `False`: the kernel reads edges and content alone."""
        return False

    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Compute the terms of k, with the sources and weights of the edges to x, (B, N, K), and the numbers of y.

        Raises:
            FieldError: the points of the query have no edges, or the key is another field.
        """
        edges = query.points.edges
        if edges is None or key.points.edges is not edges:
            raise FieldError(
                f"{type(self).__name__}.project",
                found="points without edges" if edges is None else "a key at other points than the query's",
                expected="the points of a graph, with their edges, as query and key",
                hint="The encoder 'graph' gives edges; coarser points, unions and points in a scan order have none.",
            )
        query_terms, key_terms = self.kernel.project(query, key)
        sources, weights = weigh_edges(edges, self.config.aggregation, self.config.self_loops)
        numbers = torch.arange(key.values.shape[1], device=key.device).expand(len(sources), -1)
        return (query_terms, sources, weights), (key_terms, numbers)

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Compute a k, or k + log a under softmax, (B, heads, n, m)."""
        (query_terms, sources, weights), (key_terms, numbers) = query_terms, key_terms
        k: Tensor = self.kernel(query_terms, key_terms)
        from_key = (sources.unsqueeze(2) == numbers[:, None, :, None]).to(weights.dtype)  # (B, n, m, K)
        a = (from_key @ weights.unsqueeze(-1)).squeeze(-1).unsqueeze(1)
        return k + log_weights(a).to(k.dtype) if self.normalization == "softmax" else k * a.to(k.dtype)

    def can_integrate(self, problem: Problem[Terms]) -> bool:
        """Whether the key has all points of the graph, in their order, which a sampler's nodes have not."""
        edges = problem.query.edges
        return edges is not None and problem.key.edges is edges

    def integrate(self, problem: Problem[Terms]) -> Tensor:
        """Compute the sum over the edges to each point."""
        (query_terms, sources, weights), (key_terms, _) = problem.query_terms, problem.key_terms
        everywhere = Problem(self.kernel, problem.query, problem.key, query_terms, key_terms, problem.values)
        nodes = Nodes(sources, weights * gather_points(problem.key.weights, sources))
        sums = DenseEvaluator()(everywhere.at_nodes(nodes))  # each point is a sample, (B · N, 1, heads, d)
        return sums.view(*problem.shape[:2], *sums.shape[2:])

    def initialize(self, shortest: float, longest: float) -> bool:
        """Set the lengths of k."""
        return self.kernel.initialize(shortest, longest)

    @property
    def opaque(self) -> bool:
        """Whether k is opaque."""
        return self.kernel.opaque

    @property
    def pair_width(self) -> int:
        """The pair width of k, and a."""
        return self.kernel.pair_width + 1

    def value_dim(self, dim: int) -> int:
        """Return the default head_dim of k."""
        return self.kernel.value_dim(dim)

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return V of k."""
        return self.kernel.value_map(dim, head_dim)

    def output_map(self, head_dim: int, out_dim: int) -> nn.Module:
        """Return Σ_h O_h of k."""
        return self.kernel.output_map(head_dim, out_dim)


def weigh_edges(edges: Edges, aggregation: Aggregation, self_loops: bool) -> Edges:
    """Return the edges with the weights of an aggregation, and with self loops; see `EdgeKernel`.

    Example:
        >>> edge = Edges(torch.tensor([[[1], [0]]]), torch.tensor([[[2.0], [0.0]]]))  # from point 1 to point 0
        >>> weigh_edges(edge, "mean", self_loops=True).weights
        tensor([[[0.6667, 0.3333],
                 [0.0000, 1.0000]]])
    """
    sources, weights = edges
    if self_loops:
        own = torch.arange(sources.shape[1], device=sources.device).view(1, -1, 1).expand(len(sources), -1, 1)
        missing = ~((sources == own) & (weights > 0)).any(-1, keepdim=True)
        sources, weights = torch.cat([sources, own], -1), torch.cat([weights, missing.to(weights)], -1)
    if aggregation == "sum":
        return Edges(sources, weights)
    degree = weights.sum(-1)
    nonzero = torch.where(degree > 0, degree, 1.0)
    if aggregation == "mean":
        return Edges(sources, weights / nonzero.unsqueeze(-1))
    inverse = torch.where(degree > 0, nonzero.rsqrt(), 0.0)
    return Edges(sources, weights * inverse.unsqueeze(-1) * gather_points(inverse, sources))
