"""Lattices: where the points of a field on a grid lie."""

from __future__ import annotations

from typing import NamedTuple

import torch

from itnet_core import Points
from itnet_core.operator.points import distinct

Vector = tuple[float, ...]


class Lattice(NamedTuple):
    """A regular grid in R^p: the point of index i lies at origin + Σ_a i_a steps_a.

    Attributes:
        sizes: points along each of its dimensions.
        origin: the first point, p numbers.
        steps: from a point to the next along each dimension, p numbers each; 0 along one of size 1.
        deviation: how far a point lies beside its place, at most, in any coordinate and sample: `Field.grid` is a
            claim, and Chebyshev points, too, may be called a grid. A kernel says how much it allows.
        even: whether it is rounding: a few units in the last place of the lengths between points.
    """

    sizes: tuple[int, ...]
    origin: Vector
    steps: tuple[Vector, ...]
    deviation: float
    even: bool


def lattice(points: Points) -> Lattice | None:
    """Fit a lattice to the points of a grid; `None` for scattered points. All points are read, once."""
    return None if points.grid is None else points.cached(_fit, points.grid)


def _fit(grid_points: Points, grid: tuple[int, ...]) -> Lattice:
    positions = grid_points.positions
    points = torch.unflatten(distinct(positions).detach().double(), 1, grid)
    corner = (0,) * len(grid)
    origin = expected = points[0][corner]
    steps = []
    for axis, size in enumerate(grid):
        last = points[0][(*corner[:axis], size - 1, *corner[axis + 1 :])]
        steps.append((last - origin) / max(size - 1, 1))
        along = torch.arange(size, device=points.device).view(-1, *[1] * (len(grid) - axis))
        expected = expected + along * steps[-1]
    deviation = (points - expected).abs().amax()
    numbers = torch.cat([*steps, origin, deviation.view(1)]).tolist()  # all at once: a GPU is waited for
    *vectors, first = (tuple(numbers[n : n + len(origin)]) for n in range(0, len(numbers) - 1, len(origin)))
    rounding = 4 * min(torch.finfo(positions.dtype).eps, torch.finfo(torch.float32).eps)
    extent = max(abs(x) * (size - 1) for size, step in zip(grid, vectors, strict=True) for x in step)
    return Lattice(grid, first, tuple(vectors), numbers[-1], even=numbers[-1] <= rounding * extent)
