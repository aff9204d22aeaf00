"""Lattices: where the points of a field on a grid lie."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from itnet_core import Field
from itnet_core.field import distinct
from itnet_core.kernel import Points
from itnet_core.remembered import remembered

Vector = tuple[float, ...]


class Lattice(NamedTuple):
    """A regular grid in R^p: the point of index i lies at origin + Σ_a i_a steps_a.

    Attributes:
        sizes: points along each of its dimensions.
        origin: the first point, p numbers.
        steps: from a point to the next along each dimension, p numbers each; 0 along one of size 1.
    """

    sizes: tuple[int, ...]
    origin: Vector
    steps: tuple[Vector, ...]


def lattice(points: Field | Points) -> Lattice | None:
    """Return where a grid's points lie, or `None` if they are no grid or not the same in all samples."""
    return None if points.grid is None else _lattice(points.positions, points.grid)


@remembered
def _lattice(positions: Tensor, grid: tuple[int, ...]) -> Lattice | None:
    strides = [1]
    for size in reversed(grid[1:]):
        strides.insert(0, strides[0] * size)
    next_along = [stride if size > 1 else 0 for stride, size in zip(strides, grid, strict=True)]
    corners = distinct(positions).detach()[:, [0, *next_along, -1]].tolist()
    if any(sample != corners[0] for sample in corners):
        return None
    origin, *others, _ = corners[0]
    steps = tuple(tuple(b - a for a, b in zip(origin, other, strict=True)) for other in others)
    return Lattice(grid, tuple(origin), steps)
