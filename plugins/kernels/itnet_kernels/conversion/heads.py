"""Attention layers that are given q, k and v, by an integral operator that fits their heads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_core import IntegralOperator
from itnet_kernels.conversion.attention import ProjectedKernel, attend, projected_attention
from itnet_kernels.conversion.converted import ConvertedLayer, with_contiguous_gradient
from itnet_kernels.errors import ConversionError

HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads")


class HeadsAttention(ConvertedLayer):
    """Base class of attention layers whose original computes q, k and v."""

    operator: IntegralOperator

    def attend_heads(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scores: Tensor | None,
        *,
        scaling: float,
        softcap: float | None = None,
        start: int = 0,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Compute attention by the operator, which is replaced if its heads are not those of q, k and v.

        Args:
            query: q, (B, heads, N, d).
            key: k, (B, key heads, M, d).
            value: v, (B, key heads, M, channels).
            scores: numbers to add to the scores.
            scaling: factor on the scores.
            softcap: bound of the scores.
            start: place of the first query on the line of the keys.
            need_weights: whether to return the attention weights.

        Returns:
            The values, (B, N, heads, channels), and the weights, (B, heads, N, M), or `None`.

        Raises:
            ConversionError: an unlocked operator has other heads.
        """
        self._fit(query, key, value, softcap)
        query, key, value = map(with_contiguous_gradient, (query, key, value))
        q = _joined(query) * (scaling * query.shape[-1] ** 0.5)  # the kernel divides by √d
        kv = torch.cat([_joined(key), _joined(value)], dim=-1)
        q, kv = (F.pad(side, (0, self.operator.dim - side.shape[-1])) for side in (q, kv))
        out, weights = attend(self.operator, q, kv, None, scores, need_weights=need_weights, start=start)
        return torch.unflatten(out, -1, (query.shape[1], -1)), weights

    def _fit(self, query: Tensor, key: Tensor, value: Tensor, softcap: float | None) -> None:
        """Replace the operator if its heads are not those of q, k and v."""
        operator = self.operator
        kernel: Any = operator.kernel.summands[0]
        if not isinstance(kernel, ProjectedKernel):  # a replacement, such as a part of the kernel
            return
        expected = query.shape[1], query.shape[-1], key.shape[1], softcap, query.shape[1] * value.shape[-1]
        found = kernel.heads, kernel.head_dim, kernel.key_heads, kernel.softcap, operator.out_dim
        if expected == found:
            return
        if not isinstance(operator.kernel, ProjectedKernel):
            raise ConversionError(
                type(self).__name__,
                found=f"an unlocked operator of (heads, d, key heads, softcap, channels) = {found}",
                expected=f"{expected}",
                hint="Call the converted model once before unlock.",
            )
        adapted = type(operator.kernel)(query.shape[1], query.shape[-1], key_heads=key.shape[1], softcap=softcap)
        self.operator = projected_attention(adapted, value.shape[-1])
        self.operator.sampler, self.operator.evaluator = operator.sampler, operator.evaluator
        self.operator.train(operator.training)


def first_number(source: Any, names: tuple[str, ...]) -> int | None:
    """Return the first of some attributes that is a positive number."""
    found = (getattr(source, name, None) for name in names)
    return next((item for item in found if isinstance(item, int) and item > 0), None)


def _joined(heads: Tensor) -> Tensor:
    """Return (B, heads, N, d) as (B, N, heads · d)."""
    return heads.transpose(1, 2).flatten(2)
