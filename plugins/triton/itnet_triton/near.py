"""Tiles of near points: blocks of queries and blocks of keys, consecutive in the order of a k-d tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from itnet_core import Points, Problem, Support, distinct, gather_points

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class NearTiles:
    """Orders of the points of each sample, and the pairs of blocks that may contain a pair of the support.

    The points of a batch are numbered consecutively: point i of sample b has the number b · N + i. Blocks are
    consecutive points in the new order.

    Attributes:
        query: numbers of the query points in the new order, (B · N,).
        back: index in `query` of each query point, (B · N,).
        key: numbers of the key points in the new order, (B · M,).
        tiles: the pairs of blocks, (2, tiles), as `Inputs.tiles`.
        share: number of these pairs, divided by the number of all pairs of blocks.
    """

    query: Tensor
    back: Tensor
    key: Tensor
    tiles: Tensor
    share: float


def near_tiles(problem: Problem, block: tuple[int, int], dtype: torch.dtype) -> NearTiles:
    """Return the tiles of a problem whose support has a radius or a window.

    Every pair of the support is in a tile. In a self transform the result is cached with the points, so that the blocks
    of a trunk share it. Apart from sorting, time and memory are linear in points and tiles.

    Args:
        problem: the problem.
        block: number of queries and of keys of a tile.
        dtype: type in which positions are compared.
    """
    arguments = block, problem.kernel.support, dtype
    if problem.query is problem.key:
        return problem.key.cached(_of_points, None, *arguments)
    return _of_points(problem.key, problem.query, *arguments)


def rearranged(points: T, numbers: Tensor) -> T:
    """Return tensors (B, N, ...), or `None`, with their points in the order of `numbers`, (B · N,)."""

    def rearrange(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.flatten(0, 1).index_select(0, numbers).view(tensor.shape)

    return cast(T, tree_map(rearrange, points))


@torch.no_grad()
def _of_points(
    key: Points, query: Points | None, block: tuple[int, int], support: Support, dtype: torch.dtype
) -> NearTiles:
    query = key if query is None else query
    batch = len(key.positions)
    orders = [points.cached(tree_order, block[0]) for points in (query, key)]
    samples = max(map(len, orders))
    boxes = []
    for points, order, size in zip((query, key), orders, block, strict=True):
        positions = distinct(points.positions.detach()).to(dtype).expand(samples, -1, -1)
        boxes.append(_boxes(gather_points(positions, order.expand(samples, -1)), size))
    sample, row, column = _reaching(boxes[0], boxes[1], support)
    rows, columns = (-(-order.shape[1] // size) for order, size in zip(orders, block, strict=True))
    by_row, by_column = (sample * rows + row) * columns + column, (sample * columns + column) * rows + row
    tiles = torch.stack([by_row, by_column]).sort(1).values
    share = tiles.shape[1] / (samples * rows * columns)
    if batch > samples:  # samples that share their points
        shift = rows * columns * torch.arange(batch, device=tiles.device)
        tiles = (tiles.unsqueeze(1) + shift.unsqueeze(1)).flatten(1)
    of_query, of_key = (
        (order.expand(batch, -1) + order.shape[1] * torch.arange(batch, device=order.device).unsqueeze(1)).flatten()
        for order in orders
    )
    return NearTiles(of_query, of_query.argsort(), of_key, tiles, share)


@torch.no_grad()
def tree_order(points: Points, leaf: int) -> Tensor:
    """Return the order of the points of each distinct sample, (S, N), in a k-d tree (Bentley, 1975).

    Each node of up to `leaf` · 2^n points is halved along its longest side, so that runs of that many points fill boxes
    of about equal sides, at any density.
    """
    x = distinct(points.positions.detach())
    samples, count, axes = x.shape
    depth = (-(-count // leaf) - 1).bit_length()
    size = leaf << depth
    x = F.pad(x, (0, 0, 0, size - count), value=torch.inf)
    order = torch.arange(size, device=x.device).expand(samples, -1)
    for level in range(depth):
        x, order = x.reshape(samples, 1 << level, -1, axes), order.reshape(samples, 1 << level, -1)
        high = torch.where(x.isinf(), -torch.inf, x).amax(2)
        longest = (high - x.amin(2)).argmax(2)
        along = x.gather(3, longest[..., None, None].expand(*order.shape, 1)).squeeze(3)
        ranks = along.argsort(dim=2, stable=True)
        x, order = x.gather(2, ranks.unsqueeze(3).expand_as(x)), order.gather(2, ranks)
    order = order.flatten(1)
    return order[order < count].view(samples, count)


def _boxes(x: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """Return the boxes around blocks of points (S, N, p), (S, blocks, p) each, for every level of the tree from its
    root.

    The number of blocks is a power of two; those beyond the last point contain nothing.
    """
    blocks = 1 << (-(-x.shape[1] // size) - 1).bit_length()
    missing = blocks * size - x.shape[1]
    low, high = (F.pad(x, (0, 0, 0, missing), value=value) for value in (torch.inf, -torch.inf))
    levels: list[tuple[Tensor, Tensor]] = []
    for parts in (size, *[2] * (blocks.bit_length() - 1)):
        low, high = (corner.view(len(x), -1, parts, x.shape[2]) for corner in (low, high))
        low, high = low.amin(2), high.amax(2)
        levels.append((low, high))
    return levels[::-1]


def _reaching(query: list[tuple[Tensor, Tensor]], key: list[tuple[Tensor, Tensor]], support: Support) -> Tensor:
    """Return sample, query block and key block, (3, pairs), of the smallest boxes within reach.

    Goes down both trees: pairs of boxes out of reach have no parts within reach.
    """
    samples = torch.arange(len(query[0][0]), device=query[0][0].device)
    pairs = torch.stack([samples, samples.new_zeros(len(samples)), samples.new_zeros(len(samples))])
    for level in range(max(len(query), len(key))):
        for number, boxes in ((1, query), (2, key)):
            if 0 < level < len(boxes):
                pairs = pairs.repeat_interleave(2, dim=1)
                pairs[number] = 2 * pairs[number] + torch.arange(pairs.shape[1], device=pairs.device) % 2
        corners = [
            corner[pairs[0], pairs[number]].unsqueeze(1)
            for number, boxes in ((1, query), (2, key))
            for corner in boxes[min(level, len(boxes) - 1)]
        ]
        pairs = pairs[:, support.reaches(*corners).flatten()]
    return pairs
