"""Conversion of PyTorch's and transformers' attention layers."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import Field, FullSampler, IntegralOperator, Support, tracing
from itnet_kernels.attention.attention import AttentionKernel
from itnet_kernels.conversion.converted import ConvertedLayer
from itnet_kernels.errors import ConversionError
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
        self.operator = _attention(self.num_heads, self.head_dim)
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
        if _runs_original(self.operator, query, key, dropout=self.training and self.dropout > 0):
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
        scores, weights = _additive_mask(attn_mask, query.dtype), None
        if scores is not None and scores.ndim == 3:
            scores = scores.reshape(-1, self.num_heads, *scores.shape[1:])
        scores = None if scores is None else F.pad(scores, (0, added))
        if key_padding_mask is not None and key_padding_mask.is_floating_point():
            more = F.pad(key_padding_mask, (0, added))[:, None, None, :]
            scores = more if scores is None else scores + more
        elif key_padding_mask is not None:
            weights = F.pad(1 - key_padding_mask.to(query.dtype), (0, added), value=1)
        out, matrix = _attend(self.operator, query, key, weights, scores, need_weights=need_weights)
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


class FieldBertAttention(ConvertedLayer):
    """transformers' `BertSelfAttention` or `BertCrossAttention` by an integral operator.

    With a cache, and in training with dropout, the original's `forward` runs.

    Example:
        >>> from transformers import BertConfig
        >>> from transformers.models.bert.modeling_bert import BertSelfAttention
        >>> config = BertConfig(hidden_size=8, num_attention_heads=2, attn_implementation="eager")
        >>> attention, x = BertSelfAttention(config).eval(), torch.randn(2, 5, 8)
        >>> torch.allclose(FieldBertAttention(attention).eval()(x)[0], attention(x)[0], atol=1e-5)
        True

    Args:
        module: the layer; its parameters are shared.

    Raises:
        ConversionError: its scores depend on relative positions, an option before transformers 5.
    """

    operator: IntegralOperator
    query: nn.Module
    key: nn.Module
    value: nn.Module
    dropout: nn.Dropout
    config: Any

    def __init__(self, module: Any) -> None:
        encoding = getattr(module, "position_embedding_type", "absolute")
        if encoding != "absolute":
            raise ConversionError(
                f"{type(module).__name__}.position_embedding_type", found=repr(encoding), expected="'absolute'"
            )
        super().__init__(module)
        support = Support(causal=0) if getattr(module, "is_causal", False) else Support()
        self.operator = _attention(module.num_attention_heads, module.attention_head_size, support)

    def forward(
        self,
        hidden_states: Tensor,
        *arguments: Any,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **options: Any,
    ) -> tuple[Any, ...]:
        """Compute the output, (B, N, channels), and in `eager` mode the attention weights, as the original.

        Raises:
            ConversionError: the mask is not a tensor, or dropout comes with a sampler.
        """
        keys = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        unknown = bool(arguments) or past_key_values is not None or bool(options.get("output_attentions"))
        dropout = self.training and self.dropout.p > 0
        if _runs_original(self.operator, hidden_states, keys, dropout=dropout, unknown=unknown):
            options |= {"attention_mask": attention_mask, "past_key_values": past_key_values} if not arguments else {}
            options |= {} if encoder_hidden_states is None else {"encoder_hidden_states": encoder_hidden_states}
            return cast(tuple[Any, ...], super().forward(hidden_states, *arguments, **options))
        if attention_mask is not None and not isinstance(attention_mask, Tensor):
            raise ConversionError(
                "BertSelfAttention(attention_mask)",
                found=type(attention_mask).__name__,
                expected="a tensor",
                hint="Load the model with attn_implementation='sdpa' or 'eager'.",
            )
        if attention_mask is not None and attention_mask.dtype == torch.bool:
            attention_mask = ~attention_mask  # here True marks a pair that counts
        query = self.query(hidden_states)
        query, key = F.pad(query, (0, query.shape[-1])), torch.cat([self.key(keys), self.value(keys)], dim=-1)
        scores = _additive_mask(attention_mask, query.dtype)
        eager = getattr(self.config, "_attn_implementation", None) == "eager"
        return _attend(self.operator, query, key, None, scores, need_weights=eager)


class _ProjectedKernel(AttentionKernel):
    """Attention's kernel for queries whose first channels are q, and keys whose channels are k and v."""

    def __init__(self, dim: int, **options: Any) -> None:
        with torch.device("meta"):  # the layer's own maps replace these
            super().__init__(dim, **options)
        view: Any = ChannelSlice(0, dim)
        self.query = self.key = view

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the view of v as heads."""
        return nn.Sequential(ChannelSlice(dim // 2, dim), nn.Unflatten(-1, (self.heads, head_dim)))

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return the view of heads as channels; the layer's own output map follows it."""
        return nn.Flatten(-2)


def _attention(heads: int, head_dim: int, support: Support = Support()) -> IntegralOperator:  # noqa: B008 (frozen)
    """Return the operator of `_ProjectedKernel`, without parameters."""
    dim = heads * head_dim
    kernel = _ProjectedKernel(dim, heads=heads, support=support)
    return IntegralOperator(2 * dim, kernel, out_dim=dim, head_dim=head_dim, pointwise=False)


def _do_nothing(module: nn.Module, arguments: Any) -> None:
    """Change nothing: a hook that keeps PyTorch from bypassing a layer."""


def _runs_original(
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


def _attend(
    operator: IntegralOperator,
    query: Tensor,
    key: Tensor,
    weights: Tensor | None,
    scores: Tensor | None,
    *,
    need_weights: bool,
) -> tuple[Tensor, Tensor | None]:
    """Compute the operator's result, and its attention weights, if needed.

    Args:
        operator: of `_ProjectedKernel`.
        query: q, and other channels, (B, N, 2 · channels).
        key: k and v, (B, M, 2 · channels).
        weights: 1 for keys, 0 for padding, (B, M).
        scores: numbers to add to the kernel's.
        need_weights: whether to return the attention weights, (B, heads, N, M); NaN in a sample that is all padding, as
            in PyTorch.
    """
    empty = None if weights is None else (weights == 0).all(-1, keepdim=True)
    # A field has mass in every sample; the result of an empty sample is discarded.
    masses = weights if weights is None or empty is None else weights.masked_fill(empty, 1.0)
    fields = sequence_field(query), sequence_field(key, masses)
    out = operator(*fields, additive=scores).values
    out = out if empty is None else out.masked_fill(empty.unsqueeze(-1), 0.0)
    if not need_weights:
        return out, None
    kernel = cast(AttentionKernel, operator.kernel.summands[0])
    k = kernel.tile(*kernel.project(*fields, additive=scores))
    return out, (k if weights is None else k + weights.log()[:, None, None]).softmax(-1)


def sequence_field(values: Tensor, weights: Tensor | None = None) -> Field:
    """Return a field of values, (B, N, d), at 0, 1, 2, … on a line, with the counting measure or other weights."""
    batch, points, _ = values.shape
    positions = torch.arange(points, dtype=torch.float32, device=values.device).view(1, -1, 1)
    weights = values.new_ones(1, 1).expand(batch, points) if weights is None else weights
    return Field(values, positions.expand(batch, -1, -1), weights)


def _additive_mask(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Return a mask as numbers to add to scores; a boolean one is `True` where a pair does not count."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -torch.inf)
