"""Exact evaluation tile by tile, in O(N + M) memory forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from itnet_core.operator.evaluators.evaluator import Evaluator
from itnet_core.operator.evaluators.tile_sum import Plan, Span, sum_tiles
from itnet_core.operator.kernel import Problem
from itnet_core.plugin.config import ComponentConfig

CPU_TILE_BYTES = 8 << 20
GPU_TILE_BYTES = 256 << 20


class TiledEvaluator(Evaluator):
    """Exact sums in O(N + M) memory for any kernel, from `project` and `tile` alone.

    Pairs are cut into tiles. The pair tensor of a tile exists only while its contribution is added, and is computed
    again in the backward pass. Second derivatives are refused. `softmax` keeps a running maximum, as in Rabe & Staats,
    "Self-attention does not need O(n²) memory" (arXiv 2112.05682). Tiles outside of the support are skipped.

    `tile_shape` chooses the size of tiles. A tile has up to 1024 keys, because `tile` repeats its work for each query
    in every tile of a row. It has as many queries, and for few points as many samples, as make its pair tensor 8 MiB on
    a CPU or 256 MiB on a GPU. On a CPU, a larger tensor leaves the cache; for a smaller one, launching operations takes
    most of the time.

    Example:
        >>> operator = IntegralOperator(8, MLPKernel(8), evaluator=TiledEvaluator())
        >>> operator(Field(torch.randn(1, 50, 8), torch.rand(1, 50, 4))).values.shape
        torch.Size([1, 50, 8])
    """

    rank: ClassVar[int | None] = 1000

    class Config(ComponentConfig):
        """Size of the tiles."""

        query_tile: PositiveInt | None = None
        """Query points of a tile; by default as `tile_shape` chooses."""
        key_tile: PositiveInt | None = None
        """Key points of a tile; by default as `tile_shape` chooses."""

    def is_opaque(self, problem: Problem) -> bool:
        """Return `True`: the backward pass differentiates tiles, which graphs cannot hold."""
        return True

    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral. Gradients reach terms, values, weights and the kernel's own parameters."""
        return self.with_totals(problem)[0]

    def with_totals(self, problem: Problem) -> tuple[Tensor, Tensor]:
        """Compute the integral and, for `softmax`, log Σ_j w_j e^k, (B, N, heads), which is −∞ without a pair."""
        kernel, query, key = problem.kernel, problem.query.positions, problem.key.positions
        values, bias = problem.weighted_values()
        shape = tile_shape(*problem.shape, kernel.pair_width * values.element_size(), values.device)
        shape = (shape[0], self.config.query_tile or shape[1], self.config.key_tile or shape[2])
        plan = _Blocks(kernel, query.detach(), key.detach(), shape)
        return sum_tiles(plan, problem.query_terms, problem.key_terms, query, key, values, bias)


def tile_shape(batch: int, queries: int, keys: int, pair_bytes: int, device: torch.device) -> tuple[int, int, int]:
    """Return the samples, queries and keys of a tile, for pairs of `pair_bytes`; see `TiledEvaluator`."""
    pairs = max(1, (CPU_TILE_BYTES if device.type == "cpu" else GPU_TILE_BYTES) // pair_bytes)
    key_tile = min(keys, 1024)
    query_tile = min(queries, max(1, pairs // key_tile))
    return min(batch, max(1, pairs // (key_tile * query_tile))), query_tile, key_tile


@dataclass(frozen=True, eq=False)
class _Blocks(Plan):
    """Tiles of consecutive points.

    Attributes:
        shape: samples, queries and keys of a tile.
    """

    evaluator: ClassVar[str] = "TiledEvaluator"
    shape: tuple[int, int, int]

    def tiles(self) -> Iterator[tuple[Span, list[Span]]]:
        """Yield each tile of queries with the tiles of keys within their support."""
        batch, queries, keys = (
            _slices(length, size)
            for length, size in zip(
                (self.query_positions.shape[0], self.query_positions.shape[1], self.key_positions.shape[1]),
                self.shape,
                strict=True,
            )
        )
        for b in batch:
            reached = self._reached(b, queries, keys)
            for i, row in zip(queries, reached, strict=True):
                yield Span(b, i), [Span(b, j) for j, reach in zip(keys, row, strict=True) if reach]

    def _reached(self, batch: slice, queries: list[slice], keys: list[slice]) -> list[list[bool]]:
        support = self.kernel.support
        if support.everywhere:
            return [[True] * len(keys)] * len(queries)
        boxes = (*_boxes(self.query_positions[batch], queries), *_boxes(self.key_positions[batch], keys))
        return support.reaches(*boxes).any(0).tolist()


def _slices(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _boxes(positions: Tensor, tiles: list[slice]) -> tuple[Tensor, Tensor]:
    """Return opposite corners of a box around each tile's points, (B, tiles, p) each."""
    parts = [positions[:, tile] for tile in tiles]
    return torch.stack([p.amin(1) for p in parts], 1), torch.stack([p.amax(1) for p in parts], 1)
