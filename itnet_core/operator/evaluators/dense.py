"""The reference evaluator: the definition, written down."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from itnet_core.operator.evaluators.evaluator import Evaluator
from itnet_core.operator.field import log_weights
from itnet_core.operator.kernel import Kernel, Points

DENSE_BYTES = 64 << 20


class DenseEvaluator(Evaluator):
    """All pairs at once, in O(N·M) memory: the reference, and the fastest where few points make a pair tensor small."""

    rank: ClassVar[int | None] = 900
    transformable: ClassVar[bool] = True

    def pays(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> bool:
        """Up to a pair tensor of 64 MiB; for a larger one, computing it again in the backward pass costs less."""
        pairs = values.shape[0] * query.positions.shape[1] * key.positions.shape[1]
        return pairs * kernel.pair_width * values.element_size() <= DENSE_BYTES

    def __call__(self, kernel: Kernel, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the sums; see `Evaluator`."""
        matrix = pair_matrix(kernel, query, key)
        if kernel.normalization == "none":
            values = (values * key.weights[..., None, None]).to(values.dtype)
        # A plain sum is made in the dtype of k, which may be wider for its range; weights of softmax fit into any.
        dtype = values.dtype if kernel.normalization == "softmax" else torch.promote_types(matrix.dtype, values.dtype)
        sums = matrix.to(dtype) @ values.to(dtype).transpose(1, 2)
        return sums.to(values.dtype).transpose(1, 2)


def pair_matrix(kernel: Kernel, query: Points, key: Points) -> Tensor:
    """Return what the values are multiplied by, (B, heads, n, m), 0 outside the support.

    That is k, to which the weights w_j are still to come, or, with `softmax`, w_j e^k / Σ_j w_j e^k.
    """
    support = kernel.support
    k = at_edge(kernel, kernel(query.terms, key.terms), query.positions, key.positions)
    inside = None if support.everywhere else support.mask(query.positions, key.positions).unsqueeze(1)
    if kernel.normalization == "none":
        return k if inside is None else torch.where(inside, k, 0.0)
    present = (key.weights > 0)[:, None, None, :]
    inside = present if inside is None else inside & present
    logits = torch.where(inside, k + log_weights(key.weights)[:, None, None, :], -torch.inf)
    peak = logits.detach().amax(-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).min)
    matrix = (logits - peak).exp()
    total = matrix.sum(-1, keepdim=True)
    return matrix / torch.where(total > 0, total, 1.0)


def at_edge(kernel: Kernel, k: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Return k, (B, heads, n, m), as pairs count with their share at the edge of the support, given their positions."""
    if not kernel.support.edge:
        return k
    share = kernel.support.share(query, key).unsqueeze(1)
    return k * share.to(k.dtype) if kernel.normalization == "none" else k + log_weights(share)
