"""The evaluator of additive kernels with ReLU."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from itnet_core import Evaluator, Kernel, Points
from itnet_core.operator.transforms import refuse_transform
from itnet_quasilinear.additive import constant_part, mismatch, refuse_mismatch, separate
from itnet_quasilinear.relu_sums import relu_sums

ACTIVATIONS = ("relu",)
LEAST_POINTS = 2048


class SortedEvaluator(Evaluator):
    """Exact sums over the pairs of an additive MLP kernel with ReLU, in O(hidden · N (log N + d)) (OPERATOR §2).

    It is for `MLPKernel` with inputs among query, key and displacement, normalization none and every pair in the
    support; weights may be any. `relu_sums` has the algorithm, its gradients and its accuracy. Second derivatives are
    refused.

    A support cuts pairs, and what is left of a sorted prefix is no prefix: refused, a causal one too.
    """

    rank: ClassVar[int | None] = 50

    def evaluates(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> bool:
        """Whether the kernel is additive with ReLU."""
        return not mismatch(kernel, ACTIVATIONS)

    def pays(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> bool:
        """Whether the points are many: N·M / (N + M), which its advantage grows with, is at least that of 4096 each."""
        n, m = query.positions.shape[1], key.positions.shape[1]
        return n * m >= LEAST_POINTS * (n + m)

    @torch.compiler.disable
    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the sums; see `Evaluator`. Gradients reach terms, values, weights and the kernel's own parameters.

        Raises:
            ConfigError: the kernel is not additive with ReLU.
            DerivativeError: it is called under `torch.func` or forward-mode differentiation.
        """
        refuse_mismatch(kernel, ACTIVATIONS, type(self).__name__)
        refuse_transform(type(self).__name__, values)
        additive: Any = kernel
        with torch.autocast(values.device.type, enabled=False):
            sides = separate(additive, query, key, values)
            sums = relu_sums(*sides)
            sums = sums.view(*sums.shape[:2], *values.shape[2:])
            return (sums + constant_part(additive, sides, values)).to(values.dtype)
