"""Nearest points within a radius, by a k-d tree where that is faster."""

from __future__ import annotations

from math import isfinite

import torch
from scipy.spatial import KDTree
from torch import Tensor

from itnet_core import gather_points, nearest_points, precise
from itnet_core.models.neighbours import distance_blocks

TREE = 2**22
"""Smallest number of pairs for which a tree is used on a CPU; for fewer, blocks of distances are faster."""

SLACK = 1 + 1e-5
"""Factor by which a search exceeds the radius, so that `_within` decides about points on it."""


@torch.no_grad()
def nearest(query: Tensor, key: Tensor, mask: Tensor, count: int, radius: float = torch.inf) -> tuple[Tensor, Tensor]:
    """Find the nearest key points of each query point, the nearest first.

    On a CPU, many points are searched by a k-d tree for each sample, in O(N log N); otherwise by blocks of distances.

    Args:
        query: positions, shape (B, N, p).
        key: positions, shape (B, M, p).
        mask: which key points are not padding, bool of shape (B, M).
        count: number of neighbours, at most M.
        radius: largest distance of a neighbour.

    Returns:
        Indices of shape (B, N, count), and which of them are valid: a query may have fewer neighbours.
    """
    query, key = precise(query), precise(key)
    many = query.shape[1] * key.shape[1] > TREE
    find = by_tree if many and query.device.type == "cpu" else by_blocks
    return find(query, key, mask, count, radius)


def by_blocks(query: Tensor, key: Tensor, mask: Tensor, count: int, radius: float) -> tuple[Tensor, Tensor]:
    """Search as `nearest` does, by blocks of distances."""
    indices, valid = nearest_points(query, key, mask, count)
    return indices, valid & _within(query, key, indices, radius)


def by_tree(query: Tensor, key: Tensor, mask: Tensor, count: int, radius: float) -> tuple[Tensor, Tensor]:
    """Search as `nearest` does, by scipy's k-d tree."""
    indices = torch.zeros(*query.shape[:2], count, dtype=torch.long)
    valid = torch.zeros(indices.shape, dtype=torch.bool)
    for b in range(len(query)):
        points = mask[b].nonzero().squeeze(-1)
        if not len(points):
            continue
        k = min(count, len(points))
        tree = KDTree(key[b, points].numpy())
        bound = radius * SLACK if isfinite(radius) else radius  # the tree excludes points on the bound
        near, number = tree.query(query[b].numpy(), k=list(range(1, k + 1)), distance_upper_bound=bound)
        valid[b, :, :k] = torch.as_tensor(near).isfinite()
        indices[b, :, :k] = points[torch.as_tensor(number).clamp(max=len(points) - 1)]
    return indices, valid & _within(query, key, indices, radius)


@torch.no_grad()
def most_within(query: Tensor, key: Tensor, mask: Tensor, radius: float) -> int:
    """Return an upper bound, at least 1, on the number of key points within the radius of a query point."""
    query, key, radius = precise(query), precise(key), radius * SLACK
    if query.device.type == "cpu":
        counts = [
            KDTree(k[m].numpy()).query_ball_point(q.numpy(), radius, return_length=True).max()
            for q, k, m in zip(query, key, mask, strict=True)
            if m.any()
        ]
        return max(1, int(max(counts, default=1)))
    near = (((block <= radius) & mask.unsqueeze(1)).sum(-1).max() for block in distance_blocks(query, key))
    return max(1, *map(int, near))


def _within(query: Tensor, key: Tensor, indices: Tensor, radius: float) -> Tensor:
    """Return which of the points at `indices` lie within the radius, to the last bit as `Support` decides it."""
    return (gather_points(key, indices) - query.unsqueeze(2)).square().sum(-1) <= radius**2
