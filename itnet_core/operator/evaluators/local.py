"""Exact evaluation of local supports in time proportional to the pairs within reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from itnet_core.operator.evaluators.evaluator import Evaluator, Unsupported
from itnet_core.operator.evaluators.tile_sum import Listed, Plan, sum_tiles
from itnet_core.operator.evaluators.tiled import CPU_TILE_BYTES, GPU_TILE_BYTES
from itnet_core.operator.kernel import Problem
from itnet_core.operator.neighbourhoods import Neighbourhoods, neighbourhoods
from itnet_core.operator.transforms import tracing

KEY_TILE = 1024
"""Most keys of a tile."""
LEAST_PAIRS = 1 << 16
"""Smallest number of pairs of all points for which `auto` searches for near ones."""
SHARE = 0.25
"""Largest share of near pairs for which gathering keys is faster than computing all pairs."""


class LocalEvaluator(Evaluator):
    """Exact sums over a radius or a window, for any kernel, in time proportional to the pairs within reach.

    Near query points form groups of up to eight, and each group is summed over the key points within reach of its
    bounding box (`neighbourhoods`). These are 2 to 4 times the pairs of the support, whatever the number and density of
    points. A tile consists of some groups and their gathered keys. The queries of a group share its keys, so the terms
    and values of all pairs are never in memory at once. If a sampler gives each query its own nodes, such as its
    nearest points, a tile consists of some queries and their nodes. As with `tiled`, the backward pass computes tiles
    again, and second derivatives are refused.

    Example:
        >>> kernel = MLPKernel(8, position_dim=2, support={"window": 0.1})
        >>> operator = IntegralOperator(8, kernel, evaluator=LocalEvaluator())
        >>> operator(Field.on_grid(torch.randn(1, 50, 50, 8))).values.shape
        torch.Size([1, 2500, 8])
    """

    rank: ClassVar[int | None] = 800
    takes_nodes: ClassVar[bool] = True

    def unsupported(self, problem: Problem) -> Unsupported | None:
        """Return the reason, unless the support has a radius or a window, or each query has its own nodes."""
        if problem.nodes is not None:
            return None
        local = problem.kernel.support.local
        return None if local else Unsupported("no radius or window", "a support with one")

    def is_efficient(self, problem: Problem) -> bool:
        """Whether at least 65536 pairs exist and at most a quarter is near; `torch.compile` leaves this to run time."""
        batch, queries, keys = problem.shape
        pairs = batch * queries * keys
        if problem.nodes is not None:
            return True
        if pairs < LEAST_PAIRS or tracing():
            return pairs >= LEAST_PAIRS and torch.compiler.is_compiling()
        return neighbourhoods(problem).pairs <= SHARE * pairs

    def is_opaque(self, problem: Problem) -> bool:
        """Return `True`: the backward pass differentiates tiles, which graphs cannot hold."""
        return True

    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral. Gradients reach terms, values, weights and the kernel's own parameters."""
        kernel, nodes = problem.kernel, problem.nodes
        values, bias = problem.weighted_values() if nodes is None else (problem.values, None)
        if nodes is not None and kernel.normalization == "softmax":
            bias = problem.key.weights.new_zeros(problem.key.weights.shape)  # the nodes have weights of their own
        parts = problem.query_terms, problem.key_terms, problem.query.positions, problem.key.positions, values, bias
        query_terms, key_terms, query, key, values, bias = tree_map(
            lambda part: None if part is None else part.flatten(0, 1), parts
        )
        budget = CPU_TILE_BYTES if values.device.type == "cpu" else GPU_TILE_BYTES
        x, y, pairs = query.detach(), key.detach(), max(1, budget // (kernel.pair_width * values.element_size()))
        if nodes is None:
            plan: Plan = _Groups(kernel, x, y, neighbourhoods(problem), pairs)
            sums, _ = sum_tiles(plan, query_terms, key_terms, query, key, values, bias)
        else:
            plan = _Nodes(kernel, x, y, nodes.indices, problem.shape[2], pairs)
            weights = nodes.weights.flatten(0, 1)
            sums, _ = sum_tiles(plan, query_terms, key_terms, query, key, values, bias, weights)
        return sums.view(*problem.shape[:2], *sums.shape[1:])


@dataclass(frozen=True, eq=False)
class _Groups(Plan):
    """Tiles of groups of queries with their keys.

    Attributes:
        near: the groups and their keys.
        pairs: most pairs of a tile, unless one group has more.
    """

    evaluator: ClassVar[str] = "LocalEvaluator"
    near: Neighbourhoods
    pairs: int

    def tiles(self) -> Iterator[tuple[Listed, list[Listed]]]:
        """Yield some groups with about as many keys each, and their keys."""
        near = self.near
        lengths, order = near.starts.diff().sort(descending=True)
        size, sizes, start = near.queries.shape[1], lengths.tolist(), 0
        while start < len(sizes) and sizes[start]:
            longest = sizes[start]
            stop = start + max(1, self.pairs // (size * min(longest, KEY_TILE)))
            groups, length = order[start:stop], lengths[start:stop, None]
            start = stop
            row = []
            for first in range(0, longest, KEY_TILE):
                index = torch.arange(first, min(longest, first + KEY_TILE), device=length.device)
                rank = near.ranks[(near.starts[groups].unsqueeze(1) + index).clamp(max=len(near.ranks) - 1)]
                row.append(Listed(near.order[rank.long()].where(index < length, -1)))
            yield Listed(near.queries[groups]), row


@dataclass(frozen=True, eq=False)
class _Nodes(Plan):
    """Tiles of single queries with their nodes.

    Attributes:
        indices: of each query's nodes in its sample, (B, N, nodes).
        keys: number of key points of a sample.
        pairs: most pairs of a tile, unless one query has more.
    """

    evaluator: ClassVar[str] = "LocalEvaluator"
    indices: Tensor
    keys: int
    pairs: int

    def tiles(self) -> Iterator[tuple[Listed, list[Listed]]]:
        """Yield some queries, and their nodes."""
        batch, queries, count = self.indices.shape
        indices = self.indices.flatten(0, 1)
        points, size = torch.arange(batch * queries, device=indices.device), max(1, self.pairs // count)
        for start in range(0, len(points), size):
            numbers = points[start : start + size]
            sample = numbers // queries * self.keys
            yield Listed(numbers.unsqueeze(1)), [Listed(indices[numbers] + sample.unsqueeze(1))]
