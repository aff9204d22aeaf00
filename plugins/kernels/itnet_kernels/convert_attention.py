"""PyTorch's and transformers' attention layers as integral operators."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from itnet_core import Field, IntegralOperator, Support
from itnet_kernels.attention import AttentionKernel
from itnet_kernels.errors import ConversionError


class FieldMultiheadAttention(nn.Module):
    """What `torch.nn.MultiheadAttention` does to tensors, by an integral operator; the arguments are the same.

    Args:
        module: the layer; its weights are copied, since it keeps those of three maps in one tensor.

    Raises:
        ConversionError: keys or values have other channels than queries, or the layer adds keys of its own.
    """

    # What `nn.TransformerEncoderLayer` looks at before it takes a path of its own around this layer.
    in_proj_bias = None
    _qkv_same_embed_dim = False

    def __init__(self, module: nn.MultiheadAttention) -> None:
        super().__init__()
        if not module._qkv_same_embed_dim:
            raise ConversionError(
                "MultiheadAttention",
                found=f"kdim {module.kdim} and vdim {module.vdim}",
                expected=f"keys and values of embed_dim = {module.embed_dim} channels",
            )
        if module.bias_k is not None or module.add_zero_attn:
            raise ConversionError(
                "MultiheadAttention", found="add_bias_kv or add_zero_attn", expected="no keys but those of the input"
            )
        dim, bias = module.embed_dim, module.in_proj_bias is not None
        kernel = AttentionKernel(dim, heads=module.num_heads, bias=bias)
        self.operator = IntegralOperator(dim, kernel, pointwise=False).to(module.in_proj_weight)
        value, output = cast(nn.Sequential, self.operator.value), cast(nn.Sequential, self.operator.output)
        output[1] = module.out_proj
        linears = kernel.query, kernel.key, cast(nn.Linear, value[0])
        with torch.no_grad():
            for linear, weight in zip(linears, module.in_proj_weight.chunk(3), strict=True):
                linear.weight.copy_(weight)
            if bias:
                for linear, offset in zip(linears, module.in_proj_bias.chunk(3), strict=True):
                    linear.bias.copy_(offset)
        self.batch_first, self.num_heads, self.dropout = module.batch_first, module.num_heads, module.dropout

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
        """Return what the layer would: the output, and the attention weights if they are needed.

        Raises:
            ConversionError: values are not the keys themselves, weights would be dropped in training, or
                `is_causal` comes without its mask.
        """
        if value is not key:
            raise ConversionError(
                "MultiheadAttention(value)", found="another tensor than key", expected="one field of keys and values"
            )
        if is_causal and attn_mask is None:
            raise ConversionError(
                "MultiheadAttention(is_causal)", found="True, without attn_mask", expected="the mask that it hints at"
            )
        _refuse_dropout(self, "MultiheadAttention", self.dropout)
        batched = query.ndim == 3
        if not batched:
            query, key = query.unsqueeze(0), key.unsqueeze(0)
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key = query.transpose(0, 1), key.transpose(0, 1)
        scores, weights = _additive(attn_mask, query.dtype), None
        if scores is not None and scores.ndim == 3:
            scores = scores.reshape(-1, self.num_heads, *scores.shape[1:])
        if key_padding_mask is not None and key_padding_mask.dtype == torch.bool:
            weights = (~key_padding_mask).to(query.dtype)
        elif key_padding_mask is not None:
            more = key_padding_mask[:, None, None, :]
            scores = more if scores is None else scores + more
        fields = sequence(query), sequence(key, weights)
        out = attend(self.operator, *fields, scores)
        found = None
        if need_weights:
            found = attention_weights(self.operator, *fields, scores)
            found = found.mean(1) if average_attn_weights else found
        if not batched:
            return out.squeeze(0), None if found is None else found.squeeze(0)
        return out if self.batch_first else out.transpose(0, 1), found


class FieldBertAttention(nn.Module):
    """What transformers' `BertSelfAttention` and `BertCrossAttention` do to tensors, by an integral operator.

    Args:
        module: the layer; its parameters are shared.

    Raises:
        ConversionError: its scores depend on relative positions, as they may before transformers 5.
    """

    def __init__(self, module: Any) -> None:
        super().__init__()
        places = getattr(module, "position_embedding_type", "absolute")
        if places != "absolute":
            raise ConversionError(
                f"{type(module).__name__}.position_embedding_type", found=repr(places), expected="'absolute'"
            )
        dim, heads = module.query.in_features, module.num_attention_heads
        support = Support(causal=0) if getattr(module, "is_causal", False) else Support()
        kernel = AttentionKernel(dim, heads=heads, head_dim=module.attention_head_size, bias=True, support=support)
        self.operator = IntegralOperator(dim, kernel, head_dim=module.attention_head_size, pointwise=False)
        kernel.query, kernel.key = module.query, module.key
        cast(nn.Sequential, self.operator.value)[0] = module.value
        self.operator.output = nn.Flatten(-2)  # the layer's own output map follows it in the model
        self.dropout = module.dropout.p

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **options: Any,
    ) -> tuple[Tensor, None]:
        """Return the output, (B, N, channels), and no attention weights.

        Raises:
            ConversionError: a cache is given, weights are asked for or would be dropped, or the mask is no tensor.
        """
        _refuse_dropout(self, "BertSelfAttention", self.dropout)
        if past_key_values is not None or options.get("output_attentions"):
            found = "past_key_values" if past_key_values is not None else "output_attentions"
            raise ConversionError("BertSelfAttention", found=found, expected="neither a cache nor attention weights")
        if attention_mask is not None and not isinstance(attention_mask, Tensor):
            raise ConversionError(
                "BertSelfAttention(attention_mask)",
                found=type(attention_mask).__name__,
                expected="a tensor",
                mend="Load the model with attn_implementation='sdpa' or 'eager'.",
            )
        keys = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if attention_mask is not None and attention_mask.dtype == torch.bool:
            attention_mask = ~attention_mask  # here True is a pair that counts
        scores = _additive(attention_mask, hidden_states.dtype)
        query = sequence(hidden_states)
        return attend(self.operator, query, query if keys is hidden_states else sequence(keys), scores), None


def sequence(values: Tensor, weights: Tensor | None = None) -> Field:
    """Return values, (B, N, d), at the points 0, 1, 2, … of a line, by the counting measure or with given weights."""
    batch, points, _ = values.shape
    positions = torch.arange(points, dtype=torch.float32, device=values.device).view(1, -1, 1)
    weights = values.new_ones(1, 1).expand(batch, points) if weights is None else weights
    return Field(values, positions.expand(batch, -1, -1), weights)


def attend(operator: IntegralOperator, query: Field, key: Field, scores: Tensor | None) -> Tensor:
    """Return the operator's result with `scores` added to its kernel's."""
    kernel: Any = operator.kernel
    kernel.additive = scores
    try:
        return operator(query, key).values
    finally:
        kernel.additive = None


def attention_weights(operator: IntegralOperator, query: Field, key: Field, scores: Tensor | None) -> Tensor:
    """Return the weights with which `attend` averages the values of all pairs, (B, heads, N, M)."""
    kernel: Any = operator.kernel
    k = kernel.tile(*kernel.project(query, key)) + key.weights.log()[:, None, None].to(query.values.dtype)
    return (k if scores is None else k + scores).softmax(-1)


def _additive(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Return a mask as numbers to be added to scores; a boolean one is `True` where a pair does not count."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -torch.inf)


def _refuse_dropout(module: nn.Module, name: str, probability: float) -> None:
    if module.training and probability:
        raise ConversionError(
            f"{name}.dropout",
            found=f"attention weights dropped in training with probability {probability}",
            expected="none dropped",
            mend="Call .eval(), or convert a layer with dropout 0.",
        )
