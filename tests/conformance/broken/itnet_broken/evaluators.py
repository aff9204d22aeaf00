"""Evaluators with one fault each."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

from itnet_core import DenseEvaluator, Kernel, Points


class Rank(DenseEvaluator):
    rank: ClassVar[int | None] = 5
    tolerance = 1e-3


class SupportedCases(DenseEvaluator):
    def evaluates(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> bool:
        return False


class ValuesMatchDense(DenseEvaluator):
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        return 1.001 * super().__call__(kernel, query, key, values)


class GradientsMatchDense(DenseEvaluator):
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        return super().__call__(kernel, query, key._replace(weights=key.weights.detach()), values)


class PartialGradients(DenseEvaluator):
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return a result with a graph only where the values ask for it."""
        found = super().__call__(kernel, query, key, values)
        return found if values.requires_grad else found.detach()


class PaddingInvariance(DenseEvaluator):
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        return super().__call__(kernel, query, key._replace(weights=key.weights.clamp(min=1e-3)), values)


class EmptyNeighbourhood(DenseEvaluator):
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        mean = values.mean(1, keepdim=True)
        return super().__call__(kernel, query, key, values - mean) + mean


class Determinism(DenseEvaluator):
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        return super().__call__(kernel, query, key, values) * (1 + 1e-12 * random.SystemRandom().random())


class ArgumentsUnchanged(DenseEvaluator):
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        found = super().__call__(kernel, query, key, values.clone())
        values.data.mul_(2)
        return found


class StrideInvariance(DenseEvaluator):
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        """Read the values as if they were contiguous."""
        shape, last = values.shape, values.stride(-1)
        return super().__call__(kernel, query, key, values if last == 1 else values.flatten().roll(1).view(shape))


class _Weighted(torch.autograd.Function):
    """w v, with gradients that say they depend on neither."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(values, weights)
        return values * weights[..., None, None]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        values, weights = (each.detach() for each in ctx.saved_tensors)
        return grad * weights[..., None, None], (grad * values).sum((2, 3))


class SecondDerivatives(DenseEvaluator):
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        if kernel.normalization == "softmax":
            return super().__call__(kernel, query, key, values)
        ones = key._replace(weights=torch.ones_like(key.weights))
        return super().__call__(kernel, query, ones, _Weighted.apply(values, key.weights))


class FunctionTransforms(DenseEvaluator):
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the sums, as a custom operator does: without a tangent."""
        primal: Tensor = forward_ad.unpack_dual(super().__call__(kernel, query, key, values)).primal  # type: ignore[no-untyped-call]
        return primal


class UnsupportedError(DenseEvaluator):
    def evaluates(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> bool:
        return kernel.support.everywhere


class Compile(DenseEvaluator):
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        scale = 2.0 if torch.compiler.is_compiling() else 1.0
        return scale * super().__call__(kernel, query, key, values)
