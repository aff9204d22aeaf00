"""The evaluator `triton`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from itnet_core import ComponentConfig, Evaluator, MLPKernel, Problem, Unsupported, tracing
from itnet_triton.availability import interpreted, missing_gpu, missing_package
from itnet_triton.near import NearTiles, near_tiles, rearranged

FEATURES, HEAD_DIM = 128, 256
NEAR = 0.5
"""Largest share of near tiles for which sorting the points is faster than computing all tiles."""
INT32 = 2**31


class TritonEvaluator(Evaluator):
    """Exact sums of the MLP kernel on NVIDIA GPUs, fused into three Triton kernels.

    It supports all inputs and activations, both normalisations, every support without an edge, and float32, bf16 and
    fp16 with sums in float32, in O(N + M) memory forward and backward. Second derivatives are refused. `softmax` keeps
    a running maximum (Dao, "FlashAttention-2", arXiv 2307.08691). Results are deterministic, unless `tune` chooses the
    shapes of blocks.

    With a radius or a window, points are sorted along a k-d tree, and only tiles that may contain a pair of the support
    are computed (`near_tiles`), if they are at most half of all. The lists of these tiles take memory too.

    docs/benchmarks/gpu.md has its speed and its errors against float64 on an H100. The tests run its arithmetic in
    Triton's interpreter on a CPU, and compile it for GPUs of compute capability 8.0 and 9.0. A radius or a
    window has run in the interpreter only, not on a GPU.

    Example:
        >>> operator = IntegralOperator(8, MLPKernel(8), evaluator=TritonEvaluator())
        >>> [problem] = operator.problems(Field(torch.randn(1, 50, 8), torch.rand(1, 50, 4)))
        >>> print(operator.evaluator.unsupported(problem))  # the field is on the CPU
        found tensors on cpu; expected an NVIDIA GPU
    """

    class Config(ComponentConfig):
        """Precision and tuning."""

        precision: Literal["tf32x3", "tf32", "ieee"] = "tf32x3"
        """Products of float32 numbers: three products of tf32 (relative errors of about 1e-6), one (about 1e-3), or
        float32 itself, which does not use the tensor cores."""
        tune: bool = False
        """Whether to time several shapes of blocks at the first call of a kind, and keep the fastest. The order of sums
        then depends on the result. Near tiles of a radius or a window have a fixed shape."""
        interpret: bool = False
        """Whether to support tensors on a CPU where TRITON_INTERPRET=1; slow, for tests."""

    rank: ClassVar[int | None] = 200

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._interprets = self.config.interpret and interpreted()
        # Importing Triton takes a while, and without a GPU nothing asks for it.
        self._missing = missing_package() if self._interprets or torch.cuda.is_available() else None

    def unavailable(self) -> str:
        """Return why Triton or a GPU that runs the kernels is missing, or ""."""
        return missing_package() or ("" if interpreted() else missing_gpu()) or ""

    def unsupported(self, problem: Problem) -> Unsupported | None:
        """Return why a problem is not supported, or `None`: it needs an MLP kernel, a GPU, and sizes within the
        limits."""
        kernel, values = problem.kernel, problem.values
        device = values.device
        if not isinstance(kernel, MLPKernel) or type(kernel).tile is not MLPKernel.tile:
            return Unsupported(f"the kernel {type(kernel).__name__}", "MLPKernel, with its own tile")
        if kernel.support.edge:
            return Unsupported("an edge", "a support without an edge")
        if device.type != "cuda" and not (device.type == "cpu" and self._interprets):
            return Unsupported(f"tensors on {device}", "an NVIDIA GPU")
        if self._missing is not None:
            return Unsupported(self._missing, "Triton")
        if device.type == "cuda" and (torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] < 8):
            name = torch.cuda.get_device_name(device)
            return Unsupported(name, "an NVIDIA GPU of compute capability 8.0 or later")
        allowed = {torch.float32, torch.bfloat16, torch.float16}
        allowed |= {torch.float64} if device.type == "cpu" else set()
        query, key = problem.query_terms, problem.key_terms
        dtypes = {query.features.dtype, key.features.dtype, values.dtype, kernel.first.weight.dtype}
        if not dtypes <= allowed or (torch.float64 in dtypes and len(dtypes) > 1):
            return Unsupported(f"dtypes {sorted(map(str, dtypes))}", "float32, bfloat16 or float16")
        if kernel.inputs.width > FEATURES or values.shape[-1] > HEAD_DIM:
            sizes = f"{kernel.inputs.width} features of points and values of {values.shape[-1]} channels a head"
            return Unsupported(sizes, f"up to {FEATURES} and {HEAD_DIM}")
        points = max(problem.shape[1:])
        if points * max(kernel.heads * values.shape[-1], 2 * FEATURES) >= INT32:
            return Unsupported(f"{points} points", "fewer, since 32-bit integers number them")
        return None

    def is_efficient(self, problem: Problem) -> bool:
        """Whether queries and keys fill half a block each; separate nodes of each query do not."""
        return min(problem.shape[1:]) >= 32

    def is_opaque(self, problem: Problem) -> bool:
        """Whether the support has a radius or a window: positions are read to find near tiles."""
        return problem.kernel.support.local

    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral."""
        from itnet_triton.operation import mlp_sum
        from itnet_triton.prepared import Inputs

        kernel, values = cast(MLPKernel, problem.kernel), problem.values
        query, key, support = problem.query_terms, problem.key_terms, kernel.support
        device = values.device.type
        dtype = torch.promote_types(query.features.dtype, key.features.dtype)
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            values = values.to(dtype)
        values, bias = replace(problem, values=values).weighted_values()
        values = values.expand(-1, -1, kernel.heads, -1)
        near, limits = self._near_tiles(problem, dtype), None
        if near is not None:
            query = rearranged(query, near.query)
            key, values, bias = rearranged((key, values, bias), near.key)
        if support.local:
            window, radius = (torch.inf if length is None else length for length in (support.window, support.radius))
            limits = torch.stack([values.new_full((), limit, dtype=torch.float64) for limit in (window, radius**2)])
        times: tuple[Tensor | None, Tensor | None] = None, None
        if support.causal is not None:
            axis = support.causal_axis(query.positions.shape[-1])
            times = query.positions[..., axis].detach(), key.positions[..., axis].detach()
        inputs = Inputs(
            query=query.features,
            key=key.features,
            forms=kernel.inputs(kernel.first.weight, kernel.first.bias),
            query_positions=query.positions,
            key_positions=key.positions,
            second=kernel.second.weight,
            second_bias=kernel.second.bias,
            values=values,
            bias=bias,
            query_time=times[0],
            key_time=times[1],
            limits=limits,
            tiles=None if near is None else near.tiles,
            displacement="displacement" in kernel.config.inputs,
            distance="distance" in kernel.config.inputs,
            activation=kernel.config.activation,
            dtype=dtype,
            precision=self.config.precision,
            tune=self.config.tune,
        )
        out, _ = mlp_sum(*inputs)
        out = out.to(values.dtype)
        return out if near is None else rearranged(out, near.back)

    def _near_tiles(self, problem: Problem, dtype: torch.dtype) -> NearTiles | None:
        """Return the near tiles if they are worth listing; `None` computes all."""
        kernel = cast(MLPKernel, problem.kernel)
        if not kernel.support.local or tracing():
            return None
        from itnet_triton.launch import listed_block
        from itnet_triton.prepared import units_of_tile

        block = listed_block(dtype, units_of_tile(kernel.config.hidden))
        near = near_tiles(problem, block, torch.promote_types(dtype, torch.float32))
        return near if near.share <= NEAR else None
