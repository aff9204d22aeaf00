"""The reference evaluator: all pairs at once."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from itnet_core.operator.evaluators.evaluator import Evaluator
from itnet_core.operator.kernel import Kernel, Problem
from itnet_core.operator.points import log_weights

DENSE_BYTES = 64 << 20


class DenseEvaluator(Evaluator):
    """All pairs at once, in O(N·M) memory: the reference, and the fastest for few points.

    Example:
        >>> operator = IntegralOperator(8, MLPKernel(8), evaluator=DenseEvaluator())
        >>> operator(Field(torch.randn(1, 50, 8), torch.rand(1, 50, 4))).values.shape
        torch.Size([1, 50, 8])
    """

    rank: ClassVar[int | None] = 900
    transformable: ClassVar[bool] = True

    def is_efficient(self, problem: Problem) -> bool:
        """Whether the pair tensor is at most 64 MiB; beyond that, tiles are faster, although computed twice."""
        batch, queries, keys = problem.shape
        pairs = batch * queries * keys
        return pairs * problem.kernel.pair_width * problem.values.element_size() <= DENSE_BYTES

    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral."""
        kernel, values = problem.kernel, problem.values
        matrix = pair_matrix(problem)
        if kernel.normalization == "none":
            values = (values * problem.key.weights[..., None, None]).to(values.dtype)
        # A plain sum is computed in the dtype of k, which may be wider for its range; softmax weights fit into any.
        dtype = values.dtype if kernel.normalization == "softmax" else torch.promote_types(matrix.dtype, values.dtype)
        return sum_values(matrix.to(dtype), values.to(dtype)).to(values.dtype)


def pair_matrix(problem: Problem) -> Tensor:
    """Return the matrix that multiplies the values, shape (B, heads, n, m); it is 0 outside of the support.

    It is k without the weights w_j for a plain sum, and w_j e^k / Σ_j w_j e^k for `softmax`.

    Example:
        >>> kernel, field = MLPKernel(8), Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))
        >>> problem = kernel.problem(field, field, values=torch.randn(1, 5, 4, 2))
        >>> pair_matrix(problem).shape
        torch.Size([1, 4, 5, 5])
    """
    k = pair_values(problem)
    if problem.kernel.normalization == "none":
        return k
    logits = k + log_weights(problem.key.weights)[:, None, None, :]
    peak = logits.detach().amax(-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).min)
    matrix = (logits - peak).exp()
    total = matrix.sum(-1, keepdim=True)
    return matrix / torch.where(total > 0, total, 1.0)


def pair_values(problem: Problem) -> Tensor:
    """Return k, shape (B, heads, n, m); outside of the support it is 0, and −∞ for `softmax`, whose logit it is."""
    kernel, query, key = problem.kernel, problem.query.positions, problem.key.positions
    k = weigh_edge(kernel, kernel(problem.query_terms, problem.key_terms), query, key)
    softmax = kernel.normalization == "softmax"
    inside = None if kernel.support.everywhere else kernel.support.mask(query, key).unsqueeze(1)
    if softmax:  # a logit of padding may be anything
        present = (problem.key.weights > 0)[:, None, None, :]
        inside = present if inside is None else inside & present
    return k if inside is None else torch.where(inside, k, -torch.inf if softmax else 0.0)


def pair_weights(problem: Problem) -> Tensor:
    """Return what multiplies the values v_j, shape (B, heads, n, m): w_j k, or w_j e^k / Σ_j w_j e^k for `softmax`."""
    matrix = pair_matrix(problem)
    return matrix if problem.kernel.normalization == "softmax" else matrix * problem.key.weights[:, None, None, :]


def sum_values(matrix: Tensor, values: Tensor) -> Tensor:
    """Compute Σ_j matrix_hij v_jh, (B, n, heads, d), for a matrix (B, heads, n, m) and values (B, m, heads or 1, d).

    Values that all heads share are not copied: the heads are rows of one product.

    Example:
        >>> sum_values(torch.ones(1, 4, 5, 3), torch.ones(1, 3, 4, 2)).shape
        torch.Size([1, 5, 4, 2])
    """
    if values.shape[2] == matrix.shape[1]:
        return (matrix @ values.transpose(1, 2)).transpose(1, 2)
    rows = matrix.flatten(1, 2) @ values.squeeze(2)
    return rows.view(*matrix.shape[:3], -1).transpose(1, 2)


def weigh_edge(kernel: Kernel, k: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Weigh k, (B, heads, n, m), by each pair's share at the edge of the support, given the pairs' positions."""
    if not kernel.support.edge:
        return k
    share = kernel.support.share(query, key).unsqueeze(1)
    return k * share.to(k.dtype) if kernel.normalization == "none" else k + log_weights(share)
