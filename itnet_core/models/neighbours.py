"""Farthest points and nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from itnet_core.operator.points import gather_points
from itnet_core.operator.precision import precise

BLOCK = 2**22
"""Largest number of pairs in memory at a time: 16 MB of distances in float32."""


@torch.no_grad()
def farthest_points(positions: Tensor, mask: Tensor, count: int) -> Tensor:
    """Choose points that cover each sample: each is the farthest from those before it (Gonzalez, 1985).

    Every point lies within twice the smallest radius that `count` points allow. The first point is the farthest from
    the mean, so that the choice does not depend on the order of the points. A sample with fewer points than `count` has
    some of them chosen more than once.

    Example:
        >>> line = torch.tensor([[[0.0], [1.0], [2.0], [9.0]]])
        >>> farthest_points(line, torch.ones(1, 4, dtype=torch.bool), 3)
        tensor([[3, 0, 2]])

    Args:
        positions: shape (B, N, p).
        mask: which points are not padding, bool of shape (B, N); at least one in each sample.
        count: number of points to choose.

    Returns:
        Indices, shape (B, count).
    """
    share = mask.to(positions.dtype).unsqueeze(-1)
    mean = (positions * share).sum(1, keepdim=True) / share.sum(1, keepdim=True)
    farthest = (positions - mean).square().sum(-1).masked_fill(~mask, -1.0).argmax(1, keepdim=True)
    distance = positions.new_full(mask.shape, torch.inf).masked_fill(~mask, -1.0)
    chosen = []
    for _ in range(count):
        chosen.append(farthest)
        offset = positions - gather_points(positions, farthest)
        distance = torch.minimum(distance, offset.square().sum(-1))
        farthest = distance.argmax(1, keepdim=True)
    return torch.cat(chosen, dim=1)


@torch.no_grad()
def nearest_points(query: Tensor, key: Tensor, mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Find the nearest key points of each query point, the nearest first, by blocks of distances.

    Example:
        >>> key = torch.tensor([[[0.0], [5.0], [6.0]]])
        >>> indices, valid = nearest_points(torch.tensor([[[4.0]]]), key, torch.tensor([[True, True, False]]), 3)
        >>> indices[0, 0, :2].tolist(), valid.tolist()
        ([1, 0], [[[True, True, False]]])

    Args:
        query: positions, shape (B, N, p).
        key: positions, shape (B, M, p).
        mask: which key points are not padding, bool of shape (B, M).
        count: number of neighbours, at most M.

    Returns:
        Indices of shape (B, N, count), and which of them are valid: a sample may have fewer points.
    """
    nearest = [
        distances.masked_fill(~mask.unsqueeze(1), torch.inf).topk(count, largest=False)
        for distances in distance_blocks(query, key)
    ]
    distance, indices = (torch.cat([block[part] for block in nearest], dim=1) for part in (0, 1))
    return indices, distance.isfinite()


def distance_blocks(query: Tensor, key: Tensor) -> Iterator[Tensor]:
    """Yield the distances of some query points (B, N, p) to all key points (B, M, p) at a time, shape (B, n, M)."""
    query, key = precise(query), precise(key)
    for block in torch.split(query, max(1, BLOCK // (key.shape[0] * key.shape[1])), dim=1):
        # From differences: the expanded square, cdist's default for many points, cancels for near ones.
        if torch.compiler.is_exporting():  # ONNX has no cdist
            yield torch.linalg.vector_norm(block.unsqueeze(2) - key.unsqueeze(1), dim=-1)
        else:
            yield torch.cdist(block, key, compute_mode="donot_use_mm_for_euclid_dist")
