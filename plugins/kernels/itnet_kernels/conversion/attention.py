"""Conversion of attention: PyTorch's layer, and the operator of queries, keys and values that a layer computes."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import Field, FullSampler, IntegralOperator, Problem, tracing
from itnet_kernels.attention.attention import AttentionKernel, RepeatedHeads, Terms, select_columns
from itnet_kernels.conversion.converted import ConvertedLayer
from itnet_kernels.errors import ConversionError
from itnet_kernels.numerics.weights import apply_weights
from itnet_kernels.state_space.mixers import ChannelSlice


class FieldMultiheadAttention(ConvertedLayer, nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` by an integral operator.

    The layer's own maps compute q, k and v; keys that it adds (`bias_k`, `add_zero_attn`) are points like the others.
    In a sample that is all padding the integral is 0, where PyTorch's layer may return NaN. In training with dropout
    the original's `forward` runs.

    Example:
        >>> attention, x = nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(2, 5, 8)
        >>> torch.allclose(FieldMultiheadAttention(attention)(x, x, x)[0], attention(x, x, x)[0], atol=1e-5)
        True

    Args:
        module: the layer; its parameters are shared.
    """

    operator: IntegralOperator

    def __init__(self, module: nn.MultiheadAttention) -> None:
        super().__init__(module)
        self.operator = projected_attention(ProjectedKernel(self.num_heads, self.head_dim), self.head_dim)
        # `nn.TransformerEncoderLayer` bypasses this layer, unless something in it has a hook.
        self.operator.register_forward_pre_hook(_do_nothing)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the output, and the attention weights if they are needed, as the original.

        Raises:
            ConversionError: `is_causal` comes without its mask, or dropout with a sampler.
        """
        if is_causal and attn_mask is None:
            raise ConversionError(
                "MultiheadAttention(is_causal)", found="True, without attn_mask", expected="attn_mask as well"
            )
        if runs_original(self.operator, query, key, dropout=self.training and self.dropout > 0):
            masks = key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
            return super().forward(query, key, value, *masks)
        batched, self_attention = query.ndim == 3, query is key and key is value
        if not batched:
            query, key, value = query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)
        query, key = self._project(query, query, query) if self_attention else self._project(query, key, value)
        key, added = self._append_keys(key)
        scores, weights = additive_mask(attn_mask, query.dtype), None
        if scores is not None and scores.ndim == 3:
            scores = scores.reshape(-1, self.num_heads, *scores.shape[1:])
        scores = None if scores is None else F.pad(scores, (0, added))
        if key_padding_mask is not None and key_padding_mask.is_floating_point():
            more = F.pad(key_padding_mask, (0, added))[:, None, None, :]
            scores = more if scores is None else scores + more
        elif key_padding_mask is not None:
            weights = F.pad(1 - key_padding_mask.to(query.dtype), (0, added), value=1)
        out, matrix = attend(self.operator, query, key, weights, scores, need_weights=need_weights)
        out = self.out_proj(out)
        if matrix is not None and average_attn_weights:
            matrix = matrix.mean(1)
        if not batched:
            return out.squeeze(0), None if matrix is None else matrix.squeeze(0)
        return out if self.batch_first else out.transpose(0, 1), matrix

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Compute q followed by channels that are not read, and k followed by v; both (B, points, 2 · embed_dim)."""
        bias, dim = self.in_proj_bias, self.embed_dim
        if query is key and key is value and self.in_proj_weight is not None:
            joined = F.linear(query, self.in_proj_weight, bias)
            return joined[..., : 2 * dim], joined[..., dim:]
        separate = self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        matrices = separate if self.in_proj_weight is None else self.in_proj_weight.chunk(3)
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        q, k, v = map(F.linear, (query, key, value), matrices, biases)
        return F.pad(q, (0, dim)), torch.cat([k, v], dim=-1)

    def _append_keys(self, key: Tensor) -> tuple[Tensor, int]:
        """Append the keys and values that the layer adds, and return their number."""
        added = []
        if self.bias_k is not None and self.bias_v is not None:
            added.append(torch.cat([self.bias_k, self.bias_v], dim=-1))
        if self.add_zero_attn:
            added.append(key.new_zeros(1, 1, key.shape[-1]))
        if added:
            key = torch.cat([key, *(point.expand(key.shape[0], -1, -1) for point in added)], dim=1)
        return key, len(added)


class ProjectedKernel(AttentionKernel):
    """Attention's kernel for queries whose first channels are q, and keys whose first channels are k and v.

    Args:
        heads: heads of the queries.
        head_dim: channels of a head of q and k.
        key_heads: heads of k and v; as many as `heads` by default.
        softcap: bound c of the scores s, which become c tanh(s / c); none by default.
    """

    def __init__(
        self,
        heads: int,
        head_dim: int,
        *,
        key_heads: int | None = None,
        softcap: float | None = None,
    ) -> None:
        with torch.device("meta"):  # the layer's own maps replace these
            super().__init__(heads * head_dim, heads=heads, key_heads=key_heads, head_dim=head_dim)
        self.softcap = softcap
        self.query: Any = ChannelSlice(0, heads * head_dim)
        self.key: Any = ChannelSlice(0, self.key_heads * head_dim)

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the view of v as heads, each repeated for its group."""
        start, count = self.key_heads * self.head_dim, self.key_heads
        view = ChannelSlice(start, start + count * head_dim), nn.Unflatten(-1, (count, head_dim))
        return nn.Sequential(*view, RepeatedHeads(self.heads // count))

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return the view of heads as channels; the layer's own output map follows it."""
        return nn.Flatten(-2)

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Compute the scores, (B, heads, n, m)."""
        if self.softcap is None:
            return super().tile(query_terms, key_terms)
        scores = self.softcap * (super().tile(query_terms[:2], key_terms[:2]) / self.softcap).tanh()
        return scores + select_columns(query_terms[2], key_terms[2]) if len(query_terms) > 2 else scores

    def can_integrate(self, problem: Problem[Terms]) -> bool:
        """Whether PyTorch's attention computes the integral; it has no bound of the scores."""
        return self.softcap is None and super().can_integrate(problem)


class LinearAttentionProduct(ProjectedKernel):
    """Linear attention's kernel q kᵀ without a softmax, for the same queries and keys; `integrate` is q (kᵀ v)."""

    normalization = "none"  # type: ignore[assignment]

    def can_integrate(self, problem: Problem[Terms]) -> bool:
        """Whether nothing is added to the product."""
        return len(problem.query_terms) == 2

    def integrate(self, problem: Problem[Terms]) -> Tensor:
        """Compute the integral by the moments Σ_j w_j k_j v_jᵀ."""
        keys, values = self._for_each_head(problem.key_terms[0]), apply_weights(problem.values, problem.key)
        moments = keys.permute(0, 2, 3, 1) @ values.transpose(1, 2)
        return (problem.query_terms[0].transpose(1, 2) @ moments).transpose(1, 2)


def projected_attention(kernel: ProjectedKernel, value_dim: int) -> IntegralOperator:
    """Return the operator of a kernel and heads of v of `value_dim` channels, without parameters."""
    keys = kernel.key_heads * (kernel.head_dim + value_dim)
    dim = max(keys, kernel.heads * kernel.head_dim)
    return IntegralOperator(dim, kernel, out_dim=kernel.heads * value_dim, head_dim=value_dim, pointwise=False)


def _do_nothing(module: nn.Module, arguments: Any) -> None:
    """Change nothing: a hook that keeps PyTorch from bypassing a layer."""


def runs_original(
    operator: IntegralOperator, query: Tensor, key: Tensor, *, dropout: bool, unknown: bool = False
) -> bool:
    """Whether the original's `forward` runs: in traces, with dropout or unknown arguments, and for empty tensors.

    Raises:
        ConversionError: dropout comes with a sampler, or dropout or unknown arguments with an unlocked layer.
    """
    full = isinstance(operator.sampler, FullSampler)
    unlocked = not isinstance(operator.kernel, AttentionKernel)
    if unlocked and (dropout or unknown):
        raise ConversionError(
            "attention",
            found="dropout of attention weights, a cache or output_attentions, in an unlocked layer",
            expected="attention alone, which the original layer computes",
            hint="Set the layer's dropout to 0, and use_cache and output_attentions to False.",
        )
    if dropout and not unknown and not full:
        raise ConversionError(
            "attention.dropout",
            found=f"attention weights dropped in training, and the sampler {type(operator.sampler).__name__}",
            expected="one of both",
            hint="Call .eval(), convert a layer with dropout 0, or take the sampler 'full'.",
        )
    empty = query.is_nested or 0 in query.shape or 0 in key.shape
    return dropout or unknown or empty or (full and not unlocked and tracing())


def attend(
    operator: IntegralOperator,
    query: Tensor,
    key: Tensor,
    weights: Tensor | None,
    scores: Tensor | None,
    *,
    need_weights: bool,
    start: int = 0,
) -> tuple[Tensor, Tensor | None]:
    """Compute the operator's result, and its attention weights, if needed.

    Args:
        operator: of `ProjectedKernel`.
        query: q, and other channels, (B, N, operator.dim).
        key: k and v, and other channels, (B, M, operator.dim).
        weights: 1 for keys, 0 for padding, (B, M).
        scores: numbers to add to the kernel's.
        need_weights: whether to return the attention weights, (B, heads, N, M); NaN in a sample that is all padding, as
            in PyTorch.
        start: place of the first query on the line of the keys.
    """
    empty = None if weights is None else (weights == 0).all(-1, keepdim=True)
    # A field has mass in every sample; the result of an empty sample is discarded.
    masses = weights if weights is None or empty is None else weights.masked_fill(empty, 1.0)
    fields = sequence_field(query, start=start), sequence_field(key, masses)
    out = operator(*fields, additive=scores).values
    out = out if empty is None else out.masked_fill(empty.unsqueeze(-1), 0.0)
    if not need_weights:
        return out, None
    kernel = cast(AttentionKernel, operator.kernel.summands[0])
    k = kernel.tile(*kernel.project(*fields, additive=scores))
    return out, (k if weights is None else k + weights.log()[:, None, None]).softmax(-1)


def sequence_field(values: Tensor, weights: Tensor | None = None, *, start: int = 0) -> Field:
    """Return a field of values, (B, N, d), at start, start + 1, … on a line; by default each counts as 1."""
    batch, points, _ = values.shape
    positions = torch.arange(start, start + points, dtype=torch.float32, device=values.device).view(1, -1, 1)
    weights = values.new_ones(1, 1).expand(batch, points) if weights is None else weights
    return Field(values, positions.expand(batch, -1, -1), weights)


def additive_mask(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Return a mask as numbers to add to scores; a boolean one is `True` where a pair does not count."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -torch.inf)
