"""Points that cover a cloud."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def farthest_points(positions: Tensor, mask: Tensor, count: int) -> Tensor:
    """Return points that cover each sample: each lies as far as can be from those before it (Gonzalez, 1985).

    The largest distance of a point to its nearest is at most twice the smallest that `count` points allow. The first is
    the farthest from the mean, so that the points do not depend on the order in which they come. Of samples with fewer
    points, some are returned more than once.

    Args:
        positions: shape (B, N, p).
        mask: which points are there, bool of shape (B, N); at least one in each sample.
        count: points to choose.

    Returns:
        Indices, shape (B, count).
    """
    share = mask.to(positions.dtype).unsqueeze(-1)
    mean = (positions * share).sum(1, keepdim=True) / share.sum(1, keepdim=True)
    batch = torch.arange(len(positions), device=positions.device)
    farthest = (positions - mean).square().sum(-1).masked_fill(~mask, -1.0).argmax(1)
    distance = positions.new_full(mask.shape, torch.inf).masked_fill(~mask, -1.0)
    chosen = []
    for _ in range(count):
        chosen.append(farthest)
        away = (positions - positions[batch, farthest].unsqueeze(1)).square().sum(-1)
        distance = torch.minimum(distance, away)
        farthest = distance.argmax(1)
    return torch.stack(chosen, dim=1)
