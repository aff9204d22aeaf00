"""Checks of a field's tensors."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from itnet_core.operator.points import Points, distinct
from itnet_core.operator.transforms import under_functorch
from itnet_core.plugin.errors import FieldError


def readable() -> bool:
    """Whether Python may read tensor values: it breaks a compiled graph, and `vmap` hides them."""
    return not (torch.compiler.is_compiling() or under_functorch())


def check_whole(points: Points, place: str) -> None:
    """Check that no other process has points of the same field.

    Raises:
        FieldError: some have.
    """
    if points.shards is not None:
        found, expected = "the points of one process of several", "a whole field"
        raise FieldError(place, found=found, expected=expected, hint="Call it before `shard`.")


def check_shapes(values: Tensor, positions: Tensor, weights: Tensor | None, grid: tuple[int, ...] | None) -> None:
    """Check ranks, shapes and dtypes.

    Raises:
        FieldError: values are not floating (B, N, d) with N ≥ 1, positions not floating (B, N, p), weights not floating
            (B, N), or the grid has another number of points.
    """
    for name, tensor in (("values", values), ("positions", positions)):
        if not isinstance(tensor, Tensor) or tensor.ndim != 3 or not tensor.is_floating_point():
            raise FieldError(
                f"Field.{name}", found=_described(tensor), expected="a floating tensor of shape (B, N, channels)"
            )
    shape = tuple(values.shape[:2])
    if 0 in shape:
        raise FieldError("Field.values", found=f"shape {tuple(values.shape)}", expected="at least one point")
    if positions.shape[:2] != shape:
        raise FieldError(
            "Field.positions",
            found=f"shape {tuple(positions.shape)}",
            expected=f"(B, N, p) with the (B, N) of values, {shape}",
        )
    if grid is not None and prod(grid) != shape[1]:
        raise FieldError(
            "Field.grid", found=f"{grid}, which is {prod(grid)} points", expected=f"a grid of {shape[1]} points"
        )
    if weights is None:
        return
    if not isinstance(weights, Tensor) or not weights.is_floating_point() or weights.shape != shape:
        raise FieldError("Field.weights", found=_described(weights), expected=f"a floating tensor of shape {shape}")


def check_edges(sources: Tensor, weights: Tensor, batch: int, points: int) -> None:
    """Check edges between the points of a field of shape (B, N).

    Raises:
        FieldError: sources are not int64 (B, N, K), K ≥ 1, from 0 to N − 1; or weights are not floating of that shape,
            finite and at least 0.
    """
    tensors = isinstance(sources, Tensor) and isinstance(weights, Tensor)
    fits = tensors and sources.ndim == 3 and sources.shape[:2] == (batch, points) and sources.shape == weights.shape
    if not fits or sources.shape[2] == 0 or sources.dtype != torch.int64 or not weights.is_floating_point():
        expected = f"int64 sources and floating weights of shape ({batch}, {points}, K), K ≥ 1"
        raise FieldError("Field.edges", found=f"{_described(sources)}, {_described(weights)}", expected=expected)
    if not readable():
        return
    if sources.amin() < 0 or sources.amax() >= points:
        raise FieldError(
            "Field.edges.sources",
            found=f"numbers from {int(sources.amin())} to {int(sources.amax())}",
            expected=f"0 to {points - 1}, the numbers of the points",
        )
    if not (weights.isfinite() & (weights >= 0)).all():
        raise FieldError(
            "Field.edges.weights", found="weights that are negative or not finite", expected="weights >= 0"
        )


def check_numbers(positions: Tensor, weights: Tensor) -> None:
    """Check that squared distances are finite, weights ≥ 0, and that every sample has mass.

    All values are read at once, and read again only to locate an error.

    Raises:
        FieldError: a position is not finite or its square is not, a weight is negative or not finite, or a sample has
            no mass.
    """
    distinct_positions, distinct_weights = distinct(positions), distinct(weights)
    mass = distinct_weights.sum(-1)
    largest = torch.finfo(torch.promote_types(positions.dtype, torch.float32)).max ** 0.5 / 16
    largest = min(largest, torch.finfo(positions.dtype).max)
    within = (distinct_positions.abs() <= largest).all() and distinct_weights.amin() >= 0
    if within and ((mass > 0) & mass.isfinite()).all():
        return
    bad = ~positions.isfinite().all(-1)
    if bad.any():
        raise FieldError(
            "Field.positions",
            found=f"{int(bad.sum())} points that are not finite, the first at {_first(bad)}",
            expected="finite numbers, for padding too",
        )
    bad = (positions.abs() > largest).any(-1)
    if bad.any():
        raise FieldError(
            "Field.positions",
            found=f"{int(bad.sum())} points farther than {largest:.1e} from 0, the first at {_first(bad)}",
            expected=f"distances with a square in the range of {positions.dtype}, for padding too",
            hint="Measure positions in another unit.",
        )
    bad = ~(weights.isfinite() & (weights >= 0))
    if bad.any():
        raise FieldError(
            "Field.weights",
            found=f"{int(bad.sum())} weights that are negative or not finite, the first at {_first(bad)}",
            expected="weights >= 0",
        )
    bad = ~(weights > 0).any(-1)
    if bad.any():
        raise FieldError(
            "Field.weights",
            found=f"no mass in sample {_first(bad)[0]}",
            expected="some weight > 0 in every sample",
            hint="Drop empty samples before batching.",
        )


def _described(value: object) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


def _first(bad: Tensor) -> tuple[int, ...]:
    return tuple(bad.nonzero()[0].tolist())
