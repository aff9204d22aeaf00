"""The evaluator."""

from __future__ import annotations

import logging
from typing import ClassVar

import torch
from torch import Tensor

from itnet_core import ConfigError, Evaluator, Kernel, MLPKernel, Points
from itnet_core.operator.transforms import refuse_transform
from itnet_native.library import missing
from itnet_native.operators import sums
from itnet_native.sums import ACTIVATIONS

logger = logging.getLogger(__name__)

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

    def missing(self) -> str:
        """Return why there is no library, if there is none."""
        return missing()

    def evaluates(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> bool:
        """Whether the kernel is an MLP kernel, all tensors are on the CPU, of one dtype, and the library is there."""
        obstacle = _obstacle(kernel, query, key, values)
        if obstacle and not torch.compiler.is_compiling():
            logger.debug("native leaves %s to others: %s", type(kernel).__name__, obstacle)
        return not obstacle

    def pays(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> bool:
        """From 16384 pairs on for an additive kernel, from 65536 on for another: fewer take `dense` less time."""
        pairs = len(values) * query.positions.shape[1] * key.positions.shape[1]
        return pairs >= LEAST_PAIRS["additive" if isinstance(kernel, MLPKernel) and _separates(kernel) else "bilinear"]

    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the sums; see `Evaluator`.

        Raises:
            ConfigError: it does not evaluate the case.
            DerivativeError: it is called under `torch.func` or forward-mode differentiation.
        """
        refuse_transform("NativeEvaluator", values)
        obstacle = _obstacle(kernel, query, key, values)
        if obstacle or not isinstance(kernel, MLPKernel):
            raise ConfigError(
                "NativeEvaluator", found=obstacle, expected="a case that it evaluates", hint="Use the evaluator 'auto'."
            )
        with torch.autocast("cpu", enabled=False):  # what goes to the library is of the dtype that was looked at
            return _sums(kernel, query, key, values)


def _sums(kernel: MLPKernel, query: Points, key: Points, values: Tensor) -> Tensor:
    bias, values = _measured(kernel, key, values)
    forms: Tensor | None = None
    separate = _separates(kernel)
    if separate:
        query_terms, key_terms = kernel.separate(query, key)
        separate = not _cancels(kernel, key_terms, key.weights)
    geometry = False
    if not separate:
        forms = kernel.inputs(kernel.first.weight, kernel.first.bias)
        query_terms, key_terms = query.terms.features, key.terms.features
        geometry = kernel.inputs.geometry > 0
    positions: tuple[Tensor | None, Tensor | None] = None, None
    if geometry:
        positions = query.terms.positions, key.terms.positions
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


def _separates(kernel: MLPKernel) -> bool:
    """Return whether the hidden layer is summed as σ(a(x) + b(y)).

    Not where only near pairs are in the support: the error of a + b is relative to the extent of all points.
    """
    support = kernel.support
    near = support.radius is not None or support.window is not None
    return kernel.additive and not (near and kernel.inputs.geometry)


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


def _measured(kernel: Kernel, key: Points, values: Tensor) -> tuple[Tensor | None, Tensor]:
    """Return the logits' bias, for softmax, and the values, weighted for a plain sum."""
    weights = key.weights.to(values.dtype)
    if kernel.normalization == "none":
        return None, values * weights[..., None, None]
    positive = weights > 0
    return torch.where(positive, torch.where(positive, weights, 1.0).log(), -torch.inf), values


def _obstacle(kernel: Kernel, query: Points, key: Points, values: Tensor) -> str:
    """Return why a case is not evaluated, or nothing."""
    if _missing():
        return f"no library: {_missing()}"
    if not isinstance(kernel, MLPKernel) or type(kernel).tile is not MLPKernel.tile:
        return f"{type(kernel).__name__}, which is no MLP kernel with its own tile"
    if type(kernel).forward is not Kernel.forward or kernel.config.activation not in ACTIVATIONS:
        return f"{type(kernel).__name__} with another forward or activation"
    if kernel.support.edge:
        return f"{kernel.support!r}, whose edge it does not know"
    sides = query.terms, key.terms
    tensors = [*(side.features for side in sides), values, kernel.first.weight, kernel.second.weight]
    dtypes = {tensor.dtype for tensor in tensors}
    if len(dtypes) > 1 or not dtypes <= {torch.float32, torch.float64}:
        return f"tensors of {', '.join(sorted(map(str, dtypes)))}, not all float32 or all float64"
    positions = {side.positions.dtype for side in sides}
    if positions != dtypes:
        return f"positions of {', '.join(sorted(map(str, positions)))} beside {dtypes.pop()}"
    if any(tensor.device.type != "cpu" for tensor in tensors):
        return "tensors that are not on the CPU"
    return ""


@torch.compiler.assume_constant_result
def _missing() -> str:
    """Return what `missing` does; a compiled graph takes it for a constant, and looks for no file."""
    return missing()
