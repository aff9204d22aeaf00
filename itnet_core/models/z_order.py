"""Z-order curves: an order of points that keeps most neighbours in space together."""

from __future__ import annotations

import torch
from torch import Tensor

BITS = 10
"""Bits of each coordinate: 1024 intervals, about a hundred times as many as 128 points in the plane need."""


@torch.no_grad()
def along_curve(positions: Tensor) -> Tensor:
    """Return the order of points along a Z-order curve (Morton, 1966), indices of shape (B, N).

    The bits of the coordinates, each scaled to its range in the sample, are interleaved to one number. Row-major order
    would fail for systematic draws from a grid: 128 draws from 128 × 128 points are one row apart, all in one column.

    Example:
        >>> along_curve(torch.tensor([[[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]]))
        tensor([[0, 2, 3, 1]])
    """
    low, high = positions.amin(1, keepdim=True), positions.amax(1, keepdim=True)
    bits = min(BITS, 62 // positions.shape[-1])
    spread = torch.where(high > low, high - low, 1.0)
    cells = ((positions - low) / spread * 2**bits).long().clamp(0, 2**bits - 1)
    digits = torch.arange(bits, device=positions.device)
    numbers = torch.arange(2**bits, device=positions.device)
    apart = (((numbers.unsqueeze(-1) >> digits) & 1) << (digits * positions.shape[-1])).sum(-1)
    shifts = torch.arange(positions.shape[-1], device=positions.device)
    return (apart[cells] << shifts).sum(-1).argsort(dim=-1, stable=True)
