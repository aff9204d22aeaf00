"""Compile a kernel for GPUs that this machine lacks: `python compile_kernel.py NAME`, without TRITON_INTERPRET."""

from __future__ import annotations

import re
import sys
from typing import Any

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget

from itnet_triton.launch import HALF, KERNELS, LOCAL, SINGLE, Shape
from itnet_triton.problem import Kind, Pairs, Upstream

SHARED = {80: 163 << 10, 90: 227 << 10}
"""Bytes of shared memory of a program, by compute capability."""


class Driver:
    """The little of a GPU's driver that compiling asks for."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_device(self) -> int:
        return self.target.arch  # kernels are kept by device

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return self.target


def kind(normalized: bool, listed: bool = False, axes: int = 4) -> Kind:
    """Return the kind for four heads of 16 channels, and points of some coordinates; of 0 where no input is a place."""
    return Kind(
        activation="gelu" if normalized else "relu",
        softmax=normalized,
        causal=normalized,
        displacement=axes > 0,
        distance=axes > 0,
        moves=normalized and axes > 0,
        axes=axes,
        coordinates=axes * listed,
        listed=listed,
        numbers=2 * axes or 1,
        heads=4,
        dim=16,
        width=32,
        units=32,
        parts=1 + normalized,
        accumulator=tl.float32,
        precision="tf32x3",
        widen=False,
    )


def compiled(name: str, dtype: torch.dtype, shape: Shape, capability: int, kind: Kind) -> Any:
    """Return a compiled kernel."""
    triton.runtime.driver.set_active(Driver(capability))
    factor, sums, numbers = torch.empty(1, dtype=dtype), torch.empty(1), torch.empty(1, dtype=torch.int32)
    times = (sums, sums, numbers) if kind.causal else (None, None, None)
    bias = sums if kind.softmax else None
    tiles = (sums, numbers) if kind.listed else (None, None)
    times = (*times[:2], *tiles, numbers if kind.causal or kind.listed else None)
    points: Any = (factor, sums, factor, sums, sums, sums, sums, sums, factor, bias, *times)
    sizes = {"first": 0, "chunk": 64, "queries": 64, "keys": 64, "heads": 4, "head_dim": kind.dim, "head": 0}
    pairs = Pairs._make([*points, *sizes.values()])
    upstream = Upstream(factor, sums, sums)
    arguments = {
        "sums": (pairs, sums, sums),
        "query_gradients": (pairs, upstream, *[sums] * 5),
        "key_gradients": (pairs, upstream, *[sums] * 4, 64),
    }[name]
    rows, keys, warps, stages = shape
    constants = {"KIND": kind, "ROWS": rows, "SLOTS": max(16, rows // kind.units * kind.heads), "KEYS": keys}
    options = {"num_warps": warps, "num_stages": stages}
    done = KERNELS[name].warmup(*arguments, **constants, **options, grid=(1,))
    assert done.metadata.shared <= SHARED[capability], f"{done.metadata.shared} bytes of shared memory"
    return done


if __name__ == "__main__":
    name = sys.argv[1]
    half = compiled(name, torch.bfloat16, HALF[name][0], 90, kind(normalized=True)).asm["ptx"]
    single = compiled(name, torch.float32, SINGLE[name][0], 80, kind(normalized=False)).asm["ptx"]
    near_half = compiled(name, torch.bfloat16, LOCAL[0][0], 90, kind(normalized=False, listed=True, axes=2)).asm["ptx"]
    near_single = compiled(name, torch.float32, LOCAL[1][0], 80, kind(normalized=True, listed=True, axes=2)).asm["ptx"]
    nowhere = compiled(name, torch.bfloat16, HALF[name][0], 90, kind(normalized=True, axes=0)).asm["ptx"]
    for program in (half, near_half, nowhere):
        assert "wgmma.mma_async" in program, "no products on Hopper's tensor cores in bf16"
    for program in (single, near_single):
        assert "mma.sync" in program, "no products on the tensor cores in fp32"
    for program in (half, single, near_half, near_single, nowhere):
        assert not re.search(r"^\s*(@\S+ )?(atom|red)\.", program, re.MULTILINE), "atomics found"
    print("compiled")
