"""Lattices: where the points of a field on a grid lie."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from itnet_core import Field
from itnet_core.kernel import Points


class Lattice(NamedTuple):
    """A regular grid in R^p: the point of index i lies at origin + Σ_a i_a steps_a.

    Attributes:
        sizes: points along each of its dimensions.
        origin: the first point, shape (p,).
        steps: from a point to the next along each dimension, shape (dimensions, p); 0 along one of size 1.
    """

    sizes: tuple[int, ...]
    origin: Tensor
    steps: Tensor


def lattice(points: Field | Points) -> Lattice | None:
    """Return where a grid's points lie, in float64, or `None` if they are no grid or not the same in all samples."""
    if points.grid is None:
        return None
    strides = [1]
    for size in reversed(points.grid[1:]):
        strides.insert(0, strides[0] * size)
    next_along = [stride if size > 1 else 0 for stride, size in zip(strides, points.grid, strict=True)]
    corners = points.positions[:, [0, *next_along, -1]].detach().to(torch.float64)
    if not torch.equal(corners, corners[:1].expand_as(corners)):
        return None
    return Lattice(points.grid, corners[0, 0], corners[0, 1:-1] - corners[0, 0])
