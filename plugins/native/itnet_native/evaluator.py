"""The evaluator `native`."""

from __future__ import annotations

from math import prod
from typing import ClassVar, cast

import torch
from torch import Tensor

from itnet_core import Evaluator, Kernel, MLPKernel, PointTerms, Problem, Unsupported, neighbourhoods, tracing
from itnet_native.library import missing
from itnet_native.local import LocalCase, LocalSums
from itnet_native.operators import EagerSums, sums
from itnet_native.sums import ACTIVATIONS, Arguments

LEAST_PAIRS = 1 << 12
"""Smallest number of pairs for which `auto` prefers `native`; for fewer, `dense` is about as fast, and twice
differentiable."""

NEAR = 0.5
"""Largest share of near pairs for which gathering keys for groups of near queries is faster than all pairs."""

ROUNDING = 2.0**-16
"""Largest rounding error of b for which an additive kernel is summed by a + b: that of 128 in float32."""


class NativeEvaluator(Evaluator):
    """Exact sums of the MLP kernel on CPUs: both layers, support, normalisation and sums in one pass in C++.

    No pair tensor is held; the backward pass recomputes the hidden layer, and second derivatives are refused. Tensors
    are float32 or float64. The code is vectorised for AVX-512 or AVX2 if the processor supports them
    (`ITNET_NATIVE_ISA` chooses another), runs on `torch.get_num_threads()` threads, and is deterministic for a given
    number of them. A kernel without the inputs `product`, `bilinear`, `distance` and `fourier` has a hidden layer
    σ(a(x) + b(y)), and costs a fraction of the others.

    Example:
        >>> from itnet_core import Field, IntegralOperator
        >>> kernel = MLPKernel(8, position_dim=2)
        >>> operator = IntegralOperator(8, kernel, evaluator=NativeEvaluator())
        >>> operator(Field(torch.randn(1, 500, 8), torch.rand(1, 500, 2))).values.shape
        torch.Size([1, 500, 8])
    """

    rank: ClassVar[int | None] = 500

    def unavailable(self) -> str:
        """Return why the library cannot be loaded, or ""."""
        return missing()

    def unsupported(self, problem: Problem) -> Unsupported | None:
        """Return why a problem is not supported, or `None`: it needs an MLP kernel, and tensors of one dtype on the
        CPU."""
        kernel = problem.kernel
        own = isinstance(kernel, MLPKernel) and type(kernel).tile is MLPKernel.tile
        if not isinstance(kernel, MLPKernel) or not own or type(kernel).forward is not Kernel.forward:
            return Unsupported(f"the kernel {type(kernel).__name__}", "MLPKernel, with its own tile and forward")
        if reason := _missing():
            return Unsupported(f"no library: {reason}", "the compiled library")
        if kernel.config.activation not in ACTIVATIONS:
            return Unsupported(f"the activation {kernel.config.activation}", f"one of {', '.join(ACTIVATIONS)}")
        if kernel.support.edge:
            return Unsupported("an edge", "a support without an edge")
        query, key = problem.query_terms, problem.key_terms
        tensors = [query.features, key.features, problem.values, kernel.first.weight, kernel.second.weight]
        dtypes = {tensor.dtype for tensor in [*tensors, query.positions, key.positions]}
        if len(dtypes) > 1 or not dtypes <= {torch.float32, torch.float64}:
            return Unsupported(f"tensors of {', '.join(sorted(map(str, dtypes)))}", "all float32, or all float64")
        if any(tensor.device.type != "cpu" for tensor in tensors):
            return Unsupported("tensors on another device", "tensors on the CPU")
        return None

    def is_efficient(self, problem: Problem) -> bool:
        """Whether the problem has at least 4096 pairs; `dense` computes smaller ones."""
        return prod(problem.shape) >= LEAST_PAIRS

    def is_opaque(self, problem: Problem) -> bool:
        """Whether the support has a radius or a window: positions are read to find near points."""
        return problem.kernel.support.local

    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral."""
        with torch.autocast("cpu", enabled=False):  # keep the dtypes that `unsupported` checked
            return _local_sums(problem) if _is_local(problem) else _sums(problem)


def _sums(problem: Problem[PointTerms]) -> Tensor:
    kernel, query, key = cast(MLPKernel, problem.kernel), problem.query, problem.key
    values, bias = problem.weighted_values()
    values = values.expand(-1, -1, kernel.heads, -1)
    bias = None if bias is None else bias.to(values.dtype)
    forms: Tensor | None = None
    separate = _separates(kernel)
    if separate:
        query_terms, key_terms = kernel.separate(problem)
        separate = not _cancels(kernel, key_terms, key.weights)
    geometry = False
    if not separate:
        forms = kernel.inputs.entries(kernel.first.weight, kernel.first.bias).T
        query_terms, key_terms = problem.query_terms.features, problem.key_terms.features
        geometry = kernel.inputs.geometry > 0
    positions: tuple[Tensor | None, Tensor | None] = None, None
    if geometry:
        positions = problem.query_terms.positions, problem.key_terms.positions
    elif not kernel.support.everywhere:
        positions = query.positions.detach(), key.positions.detach()
    support, inputs = kernel.support, kernel.config.inputs
    arguments = Arguments(
        query=query_terms,
        key=key_terms,
        forms=forms,
        second=kernel.second.weight,
        second_bias=kernel.second.bias,
        values=values,
        bias=bias,
        query_positions=positions[0],
        key_positions=positions[1],
        rows=kernel.inputs.row,
        columns=kernel.inputs.column,
        activation=kernel.config.activation,
        causal=-1 if support.causal is None else support.causal_axis(query.positions.shape[-1]),
        radius=-1.0 if support.radius is None else support.radius,
        window=-1.0 if support.window is None else support.window,
        displacement=geometry and "displacement" in inputs,
        distance=geometry and "distance" in inputs,
        moves=any(side is not None and side.requires_grad for side in positions),
    )
    out: Tensor = (sums if tracing() else EagerSums.apply)(*arguments)[0]
    return out


def _is_local(problem: Problem[PointTerms]) -> bool:
    """Whether to sum over groups of near queries: a part of the pairs is near, and PyTorch traces no graph."""
    if tracing() or not problem.kernel.support.local:
        return False
    return neighbourhoods(problem).pairs <= NEAR * prod(problem.shape)


def _local_sums(problem: Problem[PointTerms]) -> Tensor:
    kernel, query, key = cast(MLPKernel, problem.kernel), problem.query_terms, problem.key_terms
    values, bias = problem.weighted_values()
    values = values.expand(-1, -1, kernel.heads, -1)
    inputs, names = kernel.inputs, kernel.config.inputs
    positions = query.positions, key.positions
    if not inputs.geometry:
        positions = query.positions.detach(), key.positions.detach()
    on_grid = kernel.on_grid(problem)
    taps, table = on_grid or (None, None)
    width, entries = (inputs.content, inputs.content_entries) if on_grid else (inputs.width, len(inputs.row))
    case = LocalCase(
        near=neighbourhoods(problem),
        rows=inputs.row[:entries],
        columns=inputs.column[:entries],
        activation=kernel.config.activation,
        support=kernel.support,
        displacement="displacement" in names and not on_grid,
        distance="distance" in names and not on_grid,
        moves=any(side.requires_grad for side in positions),
        taps=taps,
    )
    tensors = (
        query.features[..., :width].flatten(0, 1),
        key.features[..., :width].flatten(0, 1),
        inputs.entries(kernel.first.weight, kernel.first.bias)[:, :entries].T,
        kernel.second.weight,
        kernel.second.bias,
        values.flatten(0, 1),
        None if bias is None else bias.to(values.dtype).flatten(),
        *(side.flatten(0, 1) for side in positions),
        table,
    )
    out: Tensor = LocalSums.apply(case, *tensors)
    return out.view(*problem.shape[:2], *out.shape[1:])


def _separates(kernel: Kernel) -> bool:
    """Whether the hidden layer may be summed as σ(a(x) + b(y)).

    False for a local support, because the error of a + b is relative to the extent of all points.
    """
    return isinstance(kernel, MLPKernel) and kernel.additive and not (kernel.support.local and kernel.inputs.geometry)


def _cancels(kernel: MLPKernel, b: Tensor, weights: Tensor) -> bool:
    """Whether rounding a + b may lose the k of near pairs, for b of shape (B, M, hidden).

    Without softmax the unbounded activations let far pairs outweigh that error. A compiled graph cannot read
    tensor values, and assumes the worst.
    """
    if not kernel.inputs.geometry or (kernel.normalization == "none" and kernel.config.activation != "tanh"):
        return False
    if torch.compiler.is_compiling():
        return True
    largest = b.detach().masked_fill((weights == 0).unsqueeze(-1), 0.0).abs().amax()
    return bool(largest * torch.finfo(b.dtype).eps > ROUNDING)


def _missing() -> str:
    """Call `missing`; a compiled graph takes the result as a constant, since it cannot look for files."""
    return missing()


# What torch.compiler.assume_constant_result sets, whose call imports the compiler: a second that predictions need not.
_missing._dynamo_marked_constant = True  # type: ignore[attr-defined]
