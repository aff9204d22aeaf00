"""The shapes of blocks that the kernels are launched with, and how one is chosen."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import triton

from itnet_triton import gradients, kernels

Shape = tuple[int, int, int, int]
"""Queries, keys, warps and stages of a program."""

KERNELS = {
    "sums": kernels.sums_kernel,
    "query_gradients": gradients.query_gradients_kernel,
    "key_gradients": gradients.key_gradients_kernel,
}
HALF: dict[str, tuple[Shape, ...]] = {
    "sums": ((64, 64, 8, 3), (64, 64, 4, 3), (128, 64, 8, 3), (128, 32, 4, 3), (64, 32, 4, 3)),
    "query_gradients": ((64, 64, 4, 2), (64, 32, 8, 2), (64, 64, 8, 2), (128, 32, 8, 2), (64, 32, 4, 2)),
    "key_gradients": ((32, 32, 4, 2), (32, 64, 8, 2), (64, 64, 8, 2), (32, 64, 4, 2), (64, 64, 4, 2)),
}
"""For bf16 and fp16. Without tuning the first is taken: what tuning chose on an H100 (`python benchmarks/gpu.py`)."""
SINGLE: dict[str, tuple[Shape, ...]] = {
    "sums": ((64, 32, 4, 2), (64, 64, 8, 2), (64, 32, 8, 2), (128, 32, 8, 2)),
    "query_gradients": ((64, 32, 4, 1), (32, 32, 4, 1), (64, 32, 8, 1)),
    "key_gradients": ((32, 32, 4, 1), (64, 32, 4, 1), (32, 64, 4, 1)),
}
"""For fp32, likewise. With 8 warps and 64 keys Triton 3.6 compiles wrong gradients of the keys on an H100."""
INTERPRETED: Shape = (32, 32, 1, 1)
KEY = ["units", "HEADS", "WIDTH", "DIM", "SOFTMAX", "CAUSAL", "ACTIVATION", "DISPLACEMENT", "DISTANCE", "AXES", "MOVES"]
ADDED = {
    "sums": [],
    "query_gradients": ["grad_phi", "grad_own", "grad_weight", "grad_query_positions", "grad_second"],
    "key_gradients": ["grad_psi", "grad_key_positions", "grad_values", "grad_shift"],
}
"""What each kernel adds to, and tuning has to restore."""


def interpreting() -> bool:
    """Whether Triton's interpreter runs the kernels, on a CPU: TRITON_INTERPRET=1 was set when it was imported."""
    return not isinstance(kernels.sums_kernel, triton.JITFunction)


def shapes(name: str, dtype: torch.dtype) -> tuple[Shape, ...]:
    """Return the shapes declared for a kernel, the default first."""
    return (SINGLE if dtype.itemsize > 2 else HALF)[name]


def launch(name: str, grid: tuple[int, int, int], owned: int, dtype: torch.dtype, tune: bool, **arguments: Any) -> None:
    """Launch a kernel.

    Args:
        name: of `KERNELS`.
        grid: points that programs own, samples, groups of heads.
        owned: 0 if a program owns queries, 1 if it owns keys.
        dtype: of the factors of matrix products.
        tune: whether the declared shapes are measured at the first launch of a kind, and the fastest kept.
        arguments: of the kernel, less those that a shape gives.
    """
    points, samples, groups = grid
    if tune and not interpreting():
        side = ("QUERIES", "KEYS")[owned]
        _tuned(name, dtype)[lambda meta: (triton.cdiv(points, meta[side]), samples, groups)](**arguments)
        return
    queries, keys, warps, stages = shape = INTERPRETED if interpreting() else shapes(name, dtype)[0]
    options = {"QUERIES": queries, "KEYS": keys, "num_warps": warps, "num_stages": stages}
    KERNELS[name][triton.cdiv(points, shape[owned]), samples, groups](**arguments, **options)


@lru_cache
def _tuned(name: str, dtype: torch.dtype) -> Any:
    configs = [
        triton.Config({"QUERIES": queries, "KEYS": keys}, num_warps=warps, num_stages=stages)
        for queries, keys, warps, stages in shapes(name, dtype)
    ]
    return triton.autotune(configs, key=KEY, restore_value=ADDED[name] or None)(KERNELS[name])
