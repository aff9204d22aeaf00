"""The evaluator."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from itnet_core import Evaluator, Kernel, MLPKernel, Problem, Unsupported
from itnet_core.operator.mlp import PointTerms
from itnet_native.library import missing
from itnet_native.operators import sums
from itnet_native.sums import ACTIVATIONS

LEAST_PAIRS = {"additive": 1 << 14, "bilinear": 1 << 16}
"""From how many pairs it is faster than `dense`, forward and backward together: `python benchmarks/evaluators.py`."""

ROUNDING = 2.0**-16
"""The largest rounding of the sides of an additive kernel, a + b, that are summed apart: that of 128 in float32."""


class NativeEvaluator(Evaluator):
    """Exact sums of the MLP kernel on CPUs: both layers, support, normalisation and sums in one pass in C++.

    It holds no pair tensor, forward and backward; the backward pass computes the hidden layer again, and second
    derivatives are refused. It works in float32 and float64, vectorised for AVX-512 or AVX2 as the processor has them
    (`ITNET_NATIVE_ISA` chooses another), on `torch.get_num_threads()` threads, and is deterministic for a number of
    them. A kernel without the inputs `product`, `distance` and `fourier` has a hidden layer σ(a(x) + b(y)), and costs
    a fraction of the others.
    """

    rank: ClassVar[int | None] = 500

    def unavailable(self) -> str:
        """Return why the library is missing, or ""."""
        return missing()

    def unsupported(self, problem: Problem[Any]) -> Unsupported | None:
        """Return why a problem is not one of an MLP kernel on the CPU in one dtype, or `None` if it is."""
        kernel = problem.kernel
        if reason := _missing():
            return Unsupported(f"no library: {reason}", "the compiled library")
        own = isinstance(kernel, MLPKernel) and type(kernel).tile is MLPKernel.tile
        if not isinstance(kernel, MLPKernel) or not own or type(kernel).forward is not Kernel.forward:
            return Unsupported(f"a {type(kernel).__name__}", "an MLPKernel with its own tile and forward")
        if kernel.config.activation not in ACTIVATIONS:
            return Unsupported(f"the activation {kernel.config.activation}", f"one of {', '.join(ACTIVATIONS)}")
        if kernel.support.edge:
            return Unsupported(f"{kernel.support!r}", "a support without an edge")
        query, key = problem.query_terms, problem.key_terms
        tensors = [query.features, key.features, problem.values, kernel.first.weight, kernel.second.weight]
        dtypes = {tensor.dtype for tensor in [*tensors, query.positions, key.positions]}
        if len(dtypes) > 1 or not dtypes <= {torch.float32, torch.float64}:
            return Unsupported(f"tensors of {', '.join(sorted(map(str, dtypes)))}", "all float32, or all float64")
        if any(tensor.device.type != "cpu" for tensor in tensors):
            return Unsupported("tensors on another device", "tensors on the CPU")
        return None

    def is_efficient(self, problem: Problem[Any]) -> bool:
        """Whether there are at least 16384 pairs of an additive kernel, or 65536 of another; `dense` takes fewer."""
        return prod(problem.shape) >= LEAST_PAIRS["additive" if _separates(problem.kernel) else "bilinear"]

    def evaluate(self, problem: Problem[Any]) -> Tensor:
        """Compute the integral."""
        with torch.autocast("cpu", enabled=False):  # the library gets the dtypes that were checked
            return _sums(problem)


def _sums(problem: Problem[PointTerms]) -> Tensor:
    kernel, query, key = cast(MLPKernel, problem.kernel), problem.query, problem.key
    values, bias = problem.weighted_values()
    bias = None if bias is None else bias.to(values.dtype)
    forms: Tensor | None = None
    separate = _separates(kernel)
    if separate:
        query_terms, key_terms = kernel.separate(problem)
        separate = not _cancels(kernel, key_terms, key.weights)
    geometry = False
    if not separate:
        forms = kernel.inputs(kernel.first.weight, kernel.first.bias)
        query_terms, key_terms = problem.query_terms.features, problem.key_terms.features
        geometry = kernel.inputs.geometry > 0
    positions: tuple[Tensor | None, Tensor | None] = None, None
    if geometry:
        positions = problem.query_terms.positions, problem.key_terms.positions
    elif not kernel.support.everywhere:
        positions = query.positions.detach(), key.positions.detach()
    support, inputs = kernel.support, kernel.config.inputs
    out, _ = sums(
        query_terms,
        key_terms,
        forms,
        kernel.second.weight,
        kernel.second.bias,
        values,
        bias,
        *positions,
        kernel.config.activation,
        -1 if support.causal is None else support.causal_axis(query.positions.shape[-1]),
        -1.0 if support.radius is None else support.radius,
        -1.0 if support.window is None else support.window,
        geometry and "displacement" in inputs,
        geometry and "distance" in inputs,
        any(each is not None and each.requires_grad for each in positions),
    )
    return out


def _separates(kernel: Kernel[Any, Any]) -> bool:
    """Return whether the hidden layer is summed as σ(a(x) + b(y)).

    Not where only near pairs are in the support: the error of a + b is relative to the extent of all points.
    """
    support = kernel.support
    near = support.radius is not None or support.window is not None
    return isinstance(kernel, MLPKernel) and kernel.additive and not (near and kernel.inputs.geometry)


def _cancels(kernel: MLPKernel, b: Tensor, weights: Tensor) -> bool:
    """Return whether k of near pairs would be lost in the rounding of a + b, b of shape (B, M, hidden).

    Without softmax the other activations grow, so that far pairs outweigh it. A compiled graph looks at no numbers, and
    takes the way that is right for all.
    """
    if not kernel.inputs.geometry or (kernel.normalization == "none" and kernel.config.activation != "tanh"):
        return False
    if torch.compiler.is_compiling():
        return True
    largest = b.detach().masked_fill((weights == 0).unsqueeze(-1), 0.0).abs().amax()
    return bool(largest * torch.finfo(b.dtype).eps > ROUNDING)


@torch.compiler.assume_constant_result
def _missing() -> str:
    """Return what `missing` does; a compiled graph takes it for a constant, and looks for no file."""
    return missing()
