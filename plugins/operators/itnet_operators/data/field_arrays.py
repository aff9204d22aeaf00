"""Check the arrays of a user's field, and turn them into a sample."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from itnet_core import AXES, DataError, Field
from itnet_operators.samples import FieldSample
from itnet_tasks import as_array
from itnet_tasks.values import PLACE

KEYS = ("inputs", "targets", "positions", "weights", "grid")
"""Names of the arrays of a field: in a file of one sample, and in a file of many."""

LAYOUT = "inputs (N, c), targets (N, o), positions (N, p) or grid, and optionally weights (N,)"


def arrays_of(value: Any, *, axes: int, channels: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of a user's field in memory.

    Example:
        >>> sorted(arrays_of(np.zeros((4, 4)), axes=2, channels=1))
        ['grid', 'inputs']

    Args:
        value: a mapping of arrays by their names in `KEYS`; or the inputs on a grid, of shape (n_1, …, n_p, c), or
            (n_1, …, n_p) for one channel.
        axes: number of coordinates, p.
        channels: number of channels, c.

    Raises:
        DataError: it is another value.
    """
    if isinstance(value, Mapping):
        return {key: as_array(value[key], LAYOUT) for key in KEYS if key in value and key != "targets"}
    shape = f"({', '.join(f'n_{axis + 1}' for axis in range(axes))}, {channels})"
    inputs = as_array(value, f"inputs on a grid, of shape {shape}, or a mapping of {LAYOUT}")
    if inputs.ndim == axes and channels == 1:
        inputs = inputs[..., None]
    if inputs.ndim != axes + 1 or inputs.shape[-1] != channels:
        raise DataError(PLACE, found=f"an array of shape {np.shape(value)}", expected=f"inputs on a grid, {shape}")
    return {"inputs": inputs.reshape(-1, channels), "grid": np.array(inputs.shape[:-1])}


def sample_of(arrays: Mapping[str, Any], place: str, *, labelled: bool) -> FieldSample:
    """Return the sample of a field's arrays, with its positions (N, p) as they are given.

    Weights are divided by their sum; without weights, all points have equal ones. Without positions, the points are
    the cell centres of `grid` over [−1, 1] in each direction.

    Example:
        >>> arrays = {"inputs": np.ones((4, 1)), "targets": np.array([1, 2, np.nan, 3]), "grid": np.array([2, 2])}
        >>> sample = sample_of(arrays, "flow.npz", labelled=True)
        >>> sample.positions[0], sample.targets.shape
        (tensor([-0.5000, -0.5000]), torch.Size([4, 1]))
        >>> sample_of(arrays | {"weights": np.array([1, 1, -1, 1])}, "flow.npz", labelled=True)
        Traceback (most recent call last):
        itnet_core.plugin.errors.DataError: flow.npz: weights: found -1.0 at point 2; expected finite numbers >= 0, ...

    Args:
        arrays: arrays by their names in `KEYS`.
        place: the file, and the sample in it, for errors.
        labelled: require targets; otherwise they are ignored.

    Raises:
        DataError: an array is missing, of another shape, not of numbers, or has a value that cannot be used.
    """
    inputs = _columns(arrays, "inputs", place)
    count = len(inputs)
    _check(inputs, np.isfinite(inputs), "finite numbers", f"{place}: inputs")
    grid = _grid(arrays, place, count) if "grid" in arrays else None
    if "positions" in arrays:
        positions = _columns(arrays, "positions", place, count, most=len(AXES))
        _check(positions, np.isfinite(positions), "finite numbers", f"{place}: positions")
        points = torch.from_numpy(positions)
    elif grid is not None:
        points = Field.on_grid(torch.zeros(1, *grid, 0)).positions[0]
    else:
        hint = "For a regular grid over [−1, 1] in each direction, grid alone is enough."
        raise DataError(place, found="neither positions nor grid", expected=LAYOUT, hint=hint)
    targets = _targets(arrays, place, count) if labelled else None
    return FieldSample(torch.from_numpy(inputs), points, _weights(arrays, place, count), targets, grid)


def _targets(arrays: Mapping[str, Any], place: str, count: int) -> Tensor:
    targets = _columns(arrays, "targets", place, count)
    _check(targets, ~np.isinf(targets), "finite numbers, or NaN for no target", f"{place}: targets")
    if not np.nan_to_num(targets).any():
        raise DataError(
            f"{place}: targets",
            found="NaN at all points" if np.isnan(targets).all() else "0 at all points",
            expected="at least one target other than 0",
            hint="The relative error of such a sample is not defined.",
        )
    return torch.from_numpy(targets)


def _weights(arrays: Mapping[str, Any], place: str, count: int) -> Tensor:
    if "weights" not in arrays:
        return torch.full((count,), 1 / count)
    weights = _numbers(arrays["weights"], f"{place}: weights", 64)
    if weights.shape != (count,):
        raise DataError(f"{place}: weights", found=f"shape {weights.shape}", expected=f"shape {(count,)}, as inputs")
    fine = np.isfinite(weights) & (weights >= 0)
    _check(weights[:, None], fine[:, None], "finite numbers >= 0, such as areas of cells", f"{place}: weights")
    if not weights.any():
        raise DataError(f"{place}: weights", found="0 at all points", expected="some weight > 0")
    scaled = weights / weights.max()
    return torch.from_numpy((scaled / scaled.sum()).astype(np.float32))


def _grid(arrays: Mapping[str, Any], place: str, count: int) -> tuple[int, ...]:
    given = np.asarray(arrays["grid"])
    sizes = tuple(given.tolist()) if given.ndim == 1 and given.dtype.kind in "iu" else ()
    if not 1 <= len(sizes) <= len(AXES) or min(sizes) < 1 or prod(sizes) != count:
        raise DataError(
            f"{place}: grid",
            found=f"{shown_array(given)}",
            expected=f"1 to {len(AXES)} whole numbers whose product is the number of points, {count}",
        )
    return sizes


def _columns(
    arrays: Mapping[str, Any], key: str, place: str, count: int | None = None, most: int | None = None
) -> NDArray[np.float32]:
    """Return an array as float32 of shape (N, columns)."""
    if key not in arrays:
        hint = "The file has " + ", ".join(sorted(arrays)) + "." if arrays else ""
        raise DataError(f"{place}: {key}", found="no such array", expected=LAYOUT, hint=hint)
    numbers = _numbers(arrays[key], f"{place}: {key}", 32)
    columns = numbers[:, None] if numbers.ndim == 1 else numbers
    rows = "N" if count is None else str(count)
    fits = columns.ndim == 2 and 0 not in columns.shape and (count is None or len(columns) == count)
    if not fits or (most is not None and columns.shape[1] > most):
        limit = "" if most is None else f", with 1 to {most} columns"
        expected = f"shape ({rows}, columns) or ({rows},){limit}"
        raise DataError(f"{place}: {key}", found=f"shape {numbers.shape}", expected=expected)
    return columns


def _numbers(array: Any, place: str, bits: int) -> NDArray[Any]:
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise DataError(place, found=f"an array of {array.dtype}", expected="real numbers")
    with np.errstate(over="ignore"):  # beyond float32: infinite, which is refused
        return np.ascontiguousarray(array, dtype=f"float{bits}")


def _check(array: NDArray[Any], fine: NDArray[np.bool_], expected: str, place: str) -> None:
    if not fine.all():
        point, column = (int(index[0]) for index in np.nonzero(~fine))
        where = f"point {point}" + (f", column {column}" if array.shape[1] > 1 else "")
        raise DataError(place, found=f"{array[point, column]} at {where}", expected=expected)


def shown_array(array: NDArray[Any]) -> str:
    """Return a short description of an array for errors.

    Example:
        >>> shown_array(np.array([2, 3])), shown_array(np.zeros((50, 2)))
        ('[2, 3]', 'an array of float64 of shape (50, 2)')
    """
    return str(array.tolist()) if array.size <= 4 else f"an array of {array.dtype} of shape {array.shape}"
