"""The tensors of points: positions, weights, edges and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from itnet_core.operator.points import Edges, Points


def with_added(points: Points, edges: Edges | None, attributes: Mapping[str, Tensor]) -> Points:
    """Return the points with other edges and attributes."""
    p = points
    return Points(p.positions, p.weights, p.grid, p.lattice, edges, parts=p.parts, attributes=attributes)


def converted(points: Points, positions: Tensor, weights: Tensor, *args: Any, **kwargs: Any) -> Points:
    """Return the points with positions and weights that were converted, and with all else converted like them.

    Args:
        points: the points.
        positions: their positions after the conversion.
        weights: their weights after the conversion.
        args: arguments of `torch.Tensor.to`; numbers that are not floating keep their dtype.
        kwargs: further ones.
    """
    p = points
    lattice = p.lattice if positions.dtype == p.positions.dtype else None  # another dtype rounds
    edges = p.edges and Edges(p.edges.sources.to(weights.device), p.edges.weights.to(*args, **kwargs))
    attributes = {
        name: tensor.to(*args, **kwargs) if tensor.is_floating_point() else tensor.to(weights.device)
        for name, tensor in p.attributes.items()
    }
    return Points(positions, weights, p.grid, lattice, edges, parts=p.parts, attributes=attributes)


def flatten_points(points: Points) -> tuple[list[Tensor], Any]:
    """Return the tensors of points, and their grid with the names of their attributes; without any, the grid alone."""
    leaves = [points.positions, points.weights, *(points.edges or ()), *points.attributes.values()]
    return leaves, (points.grid, *points.attributes) if points.attributes else points.grid


def unflatten_points(leaves: Sequence[Tensor], context: Any) -> Points:
    """Return the points of `flatten_points`."""
    grid, *names = context if context and isinstance(context[-1], str) else (context,)
    positions, weights, *others = leaves
    end = len(others) - len(names)
    edges, attributes = others[:end], dict(zip(names, others[end:], strict=True))
    return Points(positions, weights, grid, edges=Edges(*edges) if edges else None, attributes=attributes)


def names_of_tensors(points: Points) -> list[str]:
    """Return the paths of the tensors of `flatten_points` in a field."""
    names = ["positions", "weights"]
    if points.edges is not None:
        names += ["points.edges.sources", "points.edges.weights"]
    return [*names, *(f"points.attributes.{name}" for name in points.attributes)]
