"""Lattices: regular grids in R^p, fitted to the points of a field's grid."""

from __future__ import annotations

import torch

from itnet_core import Lattice, Points, distinct


def fit_lattice(points: Points) -> Lattice | None:
    """Fit a lattice to the points of a grid; `None` for scattered points. All points are read once.

    A compiled graph cannot read points; it gets the lattice that they were built from, if any.

    Example:
        >>> fit_lattice(Field.on_grid(torch.zeros(1, 4, 1)).points).steps
        ((0.5,),)
    """
    if torch.compiler.is_compiling():
        return points.lattice
    return None if points.grid is None else points.cached(_fit, points.grid)


def _fit(points: Points, grid: tuple[int, ...]) -> Lattice:
    positions = torch.unflatten(distinct(points.positions).detach().double(), 1, grid)
    corner = (0,) * len(grid)
    origin = expected = positions[0][corner]
    steps = []
    for axis, size in enumerate(grid):
        last = positions[0][(*corner[:axis], size - 1, *corner[axis + 1 :])]
        steps.append((last - origin) / max(size - 1, 1))
        indices = torch.arange(size, device=positions.device).view(-1, *[1] * (len(grid) - axis))
        expected = expected + indices * steps[-1]
    deviation = (positions - expected).abs().amax()
    numbers = torch.cat([*steps, origin, deviation.view(1)]).tolist()  # one transfer, which waits for a GPU
    *vectors, first = (tuple(numbers[n : n + len(origin)]) for n in range(0, len(numbers) - 1, len(origin)))
    rounding = 4 * min(torch.finfo(points.positions.dtype).eps, torch.finfo(torch.float32).eps)
    extent = max(abs(x) * (size - 1) for size, step in zip(grid, vectors, strict=True) for x in step)
    return Lattice(grid, first, tuple(vectors), numbers[-1], even=numbers[-1] <= rounding * extent)
