"""The evaluator of additive kernels with ReLU."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from itnet_core import Evaluator, Problem, Unsupported
from itnet_quasilinear.additive import not_additive, separate, with_constant
from itnet_quasilinear.relu_sums import relu_sums

ACTIVATIONS = ("relu",)
LEAST_POINTS = 2048


class SortedEvaluator(Evaluator):
    """Exact sums over the pairs of an additive MLP kernel with ReLU, in O(hidden · N (log N + d)) (docs/operator.md, §2).

    It is for `MLPKernel` with inputs among query, key and displacement, normalization none and every pair in the
    support; weights may be any. `relu_sums` has the algorithm, its gradients and its accuracy. Second derivatives are
    refused.

    A support cuts pairs, and what is left of a sorted prefix is no prefix: refused, a causal one too.
    """

    rank: ClassVar[int | None] = 50

    def unsupported(self, problem: Problem[Any]) -> Unsupported | None:
        """Return why the kernel is not additive with ReLU, or `None` if it is."""
        return not_additive(problem, ACTIVATIONS)

    def is_efficient(self, problem: Problem[Any]) -> bool:
        """Whether N·M / (N + M), with which the advantage grows, is at least that of 4096 points on both sides."""
        _, n, m = problem.shape
        return n * m >= LEAST_POINTS * (n + m)

    @torch.compiler.disable
    def evaluate(self, problem: Problem[Any]) -> Tensor:
        """Compute the integral. Gradients reach terms, values, weights and the kernel's own parameters."""
        with torch.autocast(problem.values.device.type, enabled=False):
            sides = separate(problem)
            return with_constant(relu_sums(*sides), sides, problem)
