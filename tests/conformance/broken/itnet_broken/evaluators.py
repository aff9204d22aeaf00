"""Evaluators with one fault each."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

from itnet_core import DenseEvaluator, Points, Problem, Unsupported


class Rank(DenseEvaluator):
    rank: ClassVar[int | None] = 5
    tolerance = 1e-3


class SupportedCases(DenseEvaluator):
    def unsupported(self, problem: Problem) -> Unsupported | None:
        return Unsupported("a problem", "none")


class ValuesMatchDense(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        return 1.001 * super().evaluate(problem)


class GradientsMatchDense(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        return super().evaluate(_weighing(problem, problem.key.weights.detach()))


class PartialGradients(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        """Return a result with a graph only where the values ask for it."""
        sums = super().evaluate(problem)
        return sums if problem.values.requires_grad else sums.detach()


class PaddingInvariance(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        return super().evaluate(_weighing(problem, problem.key.weights.clamp(min=1e-3)))


class EmptyNeighbourhood(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        mean = problem.values.mean(1, keepdim=True)
        return super().evaluate(replace(problem, values=problem.values - mean)) + mean


class SharedValues(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        sums = super().evaluate(problem)
        return sums if problem.values.shape[2] == problem.kernel.heads else sums / problem.kernel.heads


class Determinism(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        return super().evaluate(problem) * (1 + 1e-12 * random.SystemRandom().random())


class ArgumentsUnchanged(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        sums = super().evaluate(replace(problem, values=problem.values.clone()))
        problem.values.data.mul_(2)
        return sums


class StrideInvariance(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        """Read the values as if they were contiguous."""
        values = problem.values
        if values.stride(-1) != 1:
            values = values.flatten().roll(1).view(values.shape)
        return super().evaluate(replace(problem, values=values))


def _weighing(problem: Problem, weights: Tensor) -> Problem:
    """Return the problem with other weights of the keys."""
    return replace(problem, key=Points(problem.key.positions, weights, problem.key.grid))


class _Weighted(torch.autograd.Function):
    """w v, with gradients that say they depend on neither."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(values, weights)
        return values * weights[..., None, None]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        values, weights = (item.detach() for item in ctx.saved_tensors)
        return grad * weights[..., None, None], (grad * values).sum((2, 3))


class SecondDerivatives(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        if problem.kernel.normalization == "softmax":
            return super().evaluate(problem)
        weights = problem.key.weights
        weighted = replace(problem, values=_Weighted.apply(problem.values, weights))
        return super().evaluate(_weighing(weighted, torch.ones_like(weights)))


class FunctionTransforms(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        """Return the sums, as a custom operator does: without a tangent."""
        return forward_ad.unpack_dual(super().evaluate(problem)).primal  # type: ignore[no-untyped-call]


class UnsupportedError(DenseEvaluator):
    def unsupported(self, problem: Problem) -> Unsupported | None:
        return None if problem.kernel.support.everywhere else Unsupported("a support", "every pair")

    def __call__(self, problem: Problem) -> Tensor:  # type: ignore[misc]
        """Compute it all the same."""
        return self.evaluate(problem)


class Compile(DenseEvaluator):
    def evaluate(self, problem: Problem) -> Tensor:
        scale = 2.0 if torch.compiler.is_compiling() else 1.0
        return scale * super().evaluate(problem)
