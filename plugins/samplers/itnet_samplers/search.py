"""Nearest points, without a matrix of all pairs."""

from __future__ import annotations

from math import isfinite

import torch
from scipy.spatial import KDTree
from torch import Tensor

from itnet_core.operator.precision import precise

BLOCK = 2**22
"""Pairs in a block, at most: 16 MB of distances in float32."""
TREE = 2**22
"""Pairs from which a tree is used on a CPU; fewer are faster all at once."""

SLACK = 1 + 1e-5
"""Searches go a little farther than asked: what lies on the bound is decided by `_within`."""


@torch.no_grad()
def nearest(query: Tensor, key: Tensor, mask: Tensor, count: int, radius: float = torch.inf) -> tuple[Tensor, Tensor]:
    """Return the nearest key points of each query point, the nearest first.

    On a CPU many points are found by a k-d tree for each sample, in N log N; else by blocks of distances.

    Args:
        query: positions, shape (B, N, p).
        key: positions, shape (B, M, p).
        mask: which key points are there, bool of shape (B, M).
        count: neighbours of each, at most M.
        radius: none farther than this.

    Returns:
        Indices of shape (B, N, count), and which of them are there: fewer may be.
    """
    query, key = precise(query), precise(key)
    many = query.shape[1] * key.shape[1] > TREE
    find = by_tree if many and query.device.type == "cpu" else by_blocks
    return find(query, key, mask, count, radius)


def by_blocks(query: Tensor, key: Tensor, mask: Tensor, count: int, radius: float) -> tuple[Tensor, Tensor]:
    """As `nearest`, by blocks of distances."""
    found = []
    for block in torch.split(query, max(1, BLOCK // mask.numel()), dim=1):
        distances = distance(block, key).masked_fill(~mask.unsqueeze(1), torch.inf)
        found.append(distances.topk(count, largest=False))
    near, indices = (torch.cat([each[part] for each in found], dim=1) for part in (0, 1))
    return indices, near.isfinite() & _within(query, key, indices, radius)


def by_tree(query: Tensor, key: Tensor, mask: Tensor, count: int, radius: float) -> tuple[Tensor, Tensor]:
    """As `nearest`, by scipy's k-d tree."""
    indices = torch.zeros(*query.shape[:2], count, dtype=torch.long)
    there = torch.zeros(indices.shape, dtype=torch.bool)
    for b in range(len(query)):
        points = mask[b].nonzero().squeeze(-1)
        if not len(points):
            continue
        k = min(count, len(points))
        tree = KDTree(key[b, points].numpy())
        bound = radius * SLACK if isfinite(radius) else radius  # it leaves out what lies on the bound
        near, number = tree.query(query[b].numpy(), k=list(range(1, k + 1)), distance_upper_bound=bound)
        there[b, :, :k] = torch.as_tensor(near).isfinite()
        indices[b, :, :k] = points[torch.as_tensor(number).clamp(max=len(points) - 1)]
    return indices, there & _within(query, key, indices, radius)


@torch.no_grad()
def most_within(query: Tensor, key: Tensor, mask: Tensor, radius: float) -> int:
    """Return no fewer key points than lie within the radius of any query point, and at least 1."""
    query, key, radius = precise(query), precise(key), radius * SLACK
    if query.device.type == "cpu":
        counts = [
            KDTree(k[m].numpy()).query_ball_point(q.numpy(), radius, return_length=True).max()
            for q, k, m in zip(query, key, mask, strict=True)
            if m.any()
        ]
        return max(1, int(max(counts, default=1)))
    most = 1
    for block in torch.split(query, max(1, BLOCK // mask.numel()), dim=1):
        most = max(most, int(((distance(block, key) <= radius) & mask.unsqueeze(1)).sum(-1).max()))
    return most


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Return all distances, (B, n, m), of differences: the expanded square would cancel for near points."""
    return torch.cdist(precise(a), precise(b), compute_mode="donot_use_mm_for_euclid_dist")


def _within(query: Tensor, key: Tensor, indices: Tensor, radius: float) -> Tensor:
    """Return which of the found points, (B, N, count), lie within the radius, to the last bit as `Support` has it."""
    batch = torch.arange(len(key), device=key.device).view(-1, 1, 1)
    return (key[batch, indices] - query.unsqueeze(2)).square().sum(-1) <= radius**2
