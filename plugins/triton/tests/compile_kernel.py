"""Compile a kernel for a GPU that is not there: `python compile_kernel.py NAME`, without TRITON_INTERPRET."""

from __future__ import annotations

import re
import sys

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from itnet_triton.launch import HALF, KERNELS, SINGLE, Shape

INTEGERS = ("first", "chunk", "queries", "keys", "units", "heads", "head_dim", "head")
FACTORS = ("phi", "psi", "values", "grad_out", "out")


def compiled(name: str, dtype: str, shape: Shape, capability: int, normalized: bool) -> str:
    """Return the machine code's PTX."""
    kernel = KERNELS[name]
    queries, keys, warps, stages = shape
    constants = {
        "ACTIVATION": "gelu" if normalized else "relu",
        "SOFTMAX": normalized,
        "CAUSAL": normalized,
        "DISPLACEMENT": True,
        "DISTANCE": True,
        "MOVES": False,
        "AXES": 4,
        "HEADS": 4,
        "WIDTH": 32,
        "DIM": 16,
        "ACC": tl.float32,
        "PRECISION": "tf32x3",
        "WIDE": False,
        "QUERIES": queries,
        "KEYS": keys,
    }
    constants = {name: value for name, value in constants.items() if name in kernel.arg_names}
    signature = {
        argument: "constexpr"
        if argument in constants
        else "i32"
        if argument in INTEGERS
        else f"*{dtype}"
        if argument in FACTORS
        else "*i32"
        if argument == "reach"
        else "*fp32"
        for argument in kernel.arg_names
    }
    source = ASTSource(kernel, signature, constexprs=constants)
    options = {"num_warps": warps, "num_stages": stages}
    done = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    assert done.asm["cubin"]
    return done.asm["ptx"]


if __name__ == "__main__":
    name = sys.argv[1]
    half = compiled(name, "bf16", HALF[name][0], 90, normalized=True)
    single = compiled(name, "fp32", SINGLE[name][0], 80, normalized=False)
    # Tiles of 32 keys, which tuning chose for the keys' gradients, are too small for Hopper's own instruction.
    rows = HALF[name][0][name == "key_gradients"]  # keys there, queries elsewhere
    instruction = "wgmma.mma_async" if rows >= 64 else "mma.sync"
    assert instruction in half, "no products on the tensor cores in bf16"
    assert "mma.sync" in single, "no products on the tensor cores in fp32"
    assert not re.search(r"^\s*(@\S+ )?(atom|red)\.", half + single, re.MULTILINE), "atomics found"
    print("compiled")
