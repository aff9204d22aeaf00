"""The evaluator `sorted`, for additive kernels with ReLU."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from itnet_core import Evaluator, Problem, Unsupported
from itnet_quasilinear.additive import not_additive, separate, with_constant
from itnet_quasilinear.relu_sums import relu_sums

ACTIVATIONS = ("relu",)
LEAST_POINTS = 2048


class SortedEvaluator(Evaluator):
    """Exact sums for an additive MLP kernel with ReLU, in O(hidden · N (log N + d)) (docs/operator.md, §2).

    It supports `MLPKernel` with inputs among `query`, `key` and `displacement`, the activation `relu`, normalization
    `none`, and every pair in the support; a support, even a causal one, would cut the sorted prefixes. `relu_sums`
    describes the algorithm, its gradients and its accuracy. Second derivatives are refused.

    Example:
        >>> kernel = MLPKernel(8, inputs=("query", "key", "displacement"))
        >>> operator = IntegralOperator(8, kernel, evaluator=SortedEvaluator())
        >>> operator(Field(torch.randn(1, 5000, 8), torch.rand(1, 5000, 4))).values.shape
        torch.Size([1, 5000, 8])
    """

    rank: ClassVar[int | None] = 50

    def unsupported(self, problem: Problem) -> Unsupported | None:
        """Return why the kernel is not additive with ReLU, or `None` if it is."""
        return not_additive(problem, ACTIVATIONS)

    def is_efficient(self, problem: Problem) -> bool:
        """Whether N·M / (N + M), which the speedup grows with, is at least that of 4096 points on both sides."""
        _, n, m = problem.shape
        return n * m >= LEAST_POINTS * (n + m)

    def is_opaque(self, problem: Problem) -> bool:
        """Return `True`: the order of the points is read."""
        return True

    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral. Gradients reach terms, values, weights and the kernel's own parameters."""
        with torch.autocast(problem.values.device.type, enabled=False):
            sides = separate(problem)
            return with_constant(relu_sums(*sides), sides, problem)
