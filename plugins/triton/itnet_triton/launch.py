"""The shapes of blocks that the kernels are launched with, and how one is chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import triton

from itnet_triton import gradients, kernels
from itnet_triton.problem import Kind

Shape = tuple[int, int, int, int]
"""Rows (queries times hidden units of a tile), keys, warps and stages of a program."""

KERNELS = {
    "sums": kernels.sums_kernel,
    "query_gradients": gradients.query_gradients_kernel,
    "key_gradients": gradients.key_gradients_kernel,
}
HALF: dict[str, tuple[Shape, ...]] = {
    "sums": ((128, 64, 4, 3), (128, 64, 4, 2), (64, 64, 4, 3), (128, 128, 8, 2)),
    "query_gradients": ((128, 64, 4, 2), (128, 32, 4, 3), (64, 32, 4, 3), (128, 64, 8, 2)),
    "key_gradients": ((128, 64, 4, 2), (64, 64, 4, 2), (128, 128, 8, 2), (64, 128, 4, 2)),
}
"""Shapes for bf16 and fp16. Without tuning, the first one that fits the GPU's shared memory is used."""
SINGLE: dict[str, tuple[Shape, ...]] = {
    "sums": ((64, 64, 4, 2), (64, 64, 4, 1), (64, 128, 8, 1)),
    "query_gradients": ((64, 32, 4, 1), (128, 32, 8, 1), (64, 64, 4, 1)),
    "key_gradients": ((64, 128, 8, 1), (64, 64, 4, 1), (64, 32, 4, 1)),
}
"""Shapes for fp32, chosen in the same way. With 8 warps and 64 keys Triton 3.6 compiled wrong gradients of the keys on
an H100."""
LOCAL: tuple[tuple[Shape, ...], ...] = (((128, 64, 4, 2), (128, 64, 4, 1)), ((64, 64, 4, 1),))
"""Shapes for listed tiles, for factors of two bytes and for larger ones. All three kernels use tiles of the same rows
and keys."""
INTERPRETED: Shape = (128, 32, 1, 1)
UNITS = 64
"""Largest number of hidden units of a tile: the rows of the smallest shape."""

_measured: dict[tuple[str, torch.dtype, int, Kind], dict[Shape, float]] = {}


def interpreting() -> bool:
    """Whether Triton's interpreter runs the kernels, on a CPU: TRITON_INTERPRET=1 was set when it was imported."""
    return not isinstance(kernels.sums_kernel, triton.JITFunction)


def shapes(name: str, dtype: torch.dtype) -> tuple[Shape, ...]:
    """Return the shapes declared for a kernel, the default first."""
    return (SINGLE if dtype.itemsize > 2 else HALF)[name]


def listed_block(dtype: torch.dtype, units: int) -> tuple[int, int]:
    """Return the queries and the keys of a listed tile, for a number of hidden units."""
    rows, keys, *_ = INTERPRETED if interpreting() else LOCAL[dtype.itemsize > 2][0]
    return rows // units, keys


def measured() -> dict[tuple[str, torch.dtype, int, Kind], dict[Shape, float]]:
    """Return the milliseconds that tuning measured in this process, by kernel, dtype, size (points, within a factor
    of two, as a power of two) and kind of problem.
    """
    return dict(_measured)


def launch(
    name: str, grid: tuple[int, int, int], kind: Kind, dtype: torch.dtype, tune: bool, arguments: tuple[Any, ...]
) -> None:
    """Launch a kernel.

    Args:
        name: of `KERNELS`.
        grid: points that programs own (keys of `key_gradients`, otherwise queries), samples, and a third axis.
        kind: what it is compiled for.
        dtype: of the factors of matrix products.
        tune: whether the declared shapes are measured at the first launch of a kind and size, and the fastest kept.
        arguments: of the kernel before `KIND`.
    """

    def run(shape: Shape) -> None:
        rows, keys, warps, stages = shape
        owned = keys if name == "key_gradients" else rows // kind.units
        slots = max(16, rows // kind.units * kind.heads)
        constants = {"KIND": kind, "ROWS": rows, "SLOTS": slots, "KEYS": keys}
        blocks = (triton.cdiv(grid[0], owned), *grid[1:])
        KERNELS[name][blocks](*arguments, **constants, num_warps=warps, num_stages=stages)

    if interpreting():
        run(INTERPRETED)
    elif kind.listed:
        _run_first(run, LOCAL[dtype.itemsize > 2])
    elif tune:
        key = name, dtype, 1 << grid[0].bit_length(), kind
        if key not in _measured:
            _measured[key] = {shape: _milliseconds(partial(run, shape)) for shape in shapes(name, dtype)}
        times = _measured[key]
        run(min(times, key=times.__getitem__))
    else:
        _run_first(run, shapes(name, dtype))


def _run_first(run: Callable[[Shape], None], declared: tuple[Shape, ...]) -> None:
    """Run the first shape that fits the GPU's shared memory."""
    for shape in declared[:-1]:
        try:
            return run(shape)
        except triton.OutOfResources:
            continue
    return run(declared[-1])


def _milliseconds(run: Callable[[], None]) -> float:
    """Return the time of a launch, infinite for a shape that does not fit."""
    try:
        return float(triton.testing.do_bench(run, warmup=10, rep=40, return_mode="median"))
    except triton.OutOfResources:
        return float("inf")
