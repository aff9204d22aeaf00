"""Farthest points and nearest neighbours. No matrix of all pairs is ever held, but blocks of it."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 2**22
"""Pairs in a block, at most: 16 MB of distances in float32."""


@torch.no_grad()
def farthest_points(positions: Tensor, mask: Tensor, count: int) -> Tensor:
    """Return points that cover each cloud: each lies as far as can be from those before it (Gonzalez, 1985).

    The first one is the farthest from the cloud's mean, so that the points do not depend on the order in which they
    come. Of clouds of fewer points, some are returned more than once.

    Args:
        positions: shape (B, N, 3).
        mask: which points are there, bool of shape (B, N); at least one in each cloud.
        count: points to choose.

    Returns:
        Indices, shape (B, count).
    """
    share = mask.to(positions.dtype).unsqueeze(-1)
    mean = (positions * share).sum(1, keepdim=True) / share.sum(1, keepdim=True)
    batch = torch.arange(len(positions), device=positions.device)
    chosen = []
    farthest = _squares(positions, mean).masked_fill(~mask, -1.0).argmax(1)
    distance = positions.new_full(mask.shape, torch.inf).masked_fill(~mask, -1.0)
    for _ in range(count):
        chosen.append(farthest)
        distance = torch.minimum(distance, _squares(positions, positions[batch, farthest].unsqueeze(1)))
        farthest = distance.argmax(1)
    return torch.stack(chosen, dim=1)


@torch.no_grad()
def nearest(query: Tensor, key: Tensor, mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the nearest key points of each query point, the nearest first.

    Args:
        query: shape (B, M, 3).
        key: shape (B, N, 3).
        mask: which key points are there, bool of shape (B, N).
        count: neighbours of each, at most N.

    Returns:
        Indices of shape (B, M, count), and which of them are there: a cloud may have fewer points.
    """
    rows = max(1, BLOCK // mask.numel())
    found = []
    for block in torch.split(query, rows, dim=1):
        # Of differences: the expanded square, cdist's default for many points, would cancel for near ones.
        distances = torch.cdist(block, key, compute_mode="donot_use_mm_for_euclid_dist")
        found.append(distances.masked_fill(~mask.unsqueeze(1), torch.inf).topk(count, largest=False))
    distance, indices = (torch.cat([each[part] for each in found], dim=1) for part in (0, 1))
    return indices, distance.isfinite()


def gather(values: Tensor, indices: Tensor) -> Tensor:
    """Return values (B, N, d) at indices (B, …): shape (B, …, d)."""
    batch = torch.arange(len(values), device=values.device).view(-1, *[1] * (indices.ndim - 1))
    return values[batch, indices]


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Return ‖a − b‖² over the last axis."""
    return (a - b).square().sum(-1)
