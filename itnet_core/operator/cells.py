"""The cells of a regular grid: their centres, their lattice, and the share of each inside a domain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from itnet_core.operator.points import Lattice


def cell_centres(
    grid: Sequence[int], bounds: Sequence[tuple[float, float]], *, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return the cell centres of a row-major grid that covers `bounds`, shape (N, len(grid))."""
    centres = [
        low + (high - low) * (torch.arange(size, dtype=dtype, device=device) + 0.5) / size
        for size, (low, high) in zip(grid, bounds, strict=True)
    ]
    return torch.stack(torch.meshgrid(*centres, indexing="ij"), dim=-1).flatten(0, -2)


def lattice_of(
    grid: Sequence[int], bounds: Sequence[tuple[float, float]], coordinates: Sequence[int], dim: int
) -> Lattice:
    """Return the lattice of the cell centres, in R^dim, where dimension d of the grid runs along coordinates[d]."""
    origin, steps = [0.0] * dim, [[0.0] * dim for _ in grid]
    for step, size, (low, high), axis in zip(steps, grid, bounds, coordinates, strict=True):
        cell = (high - low) / size
        origin[axis] = low + cell / 2
        step[axis] = cell if size > 1 else 0.0
    return Lattice(tuple(grid), tuple(origin), tuple(map(tuple, steps)))


def shares_inside(grid: Sequence[int], inside: Sequence[float], *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the share of each cell that is inside a domain of these lengths in cells, shape (N,)."""
    share = torch.ones(1, dtype=dtype, device=device)
    for count, length in zip(grid, inside, strict=True):
        cells = torch.arange(count, dtype=dtype, device=device)
        share = torch.outer(share, (length - cells).clamp(0, 1)).flatten()
    return share
