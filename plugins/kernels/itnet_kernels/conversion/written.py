"""Conversion of attention that a layer writes out, or computes by `scaled_dot_product_attention`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from itnet_core import FullSampler, tracing
from itnet_kernels.attention.attention import AttentionKernel
from itnet_kernels.conversion.attention import (
    LinearAttentionProduct,
    ProjectedKernel,
    additive_mask,
    projected_attention,
    runs_original,
)
from itnet_kernels.conversion.following import Attention, Following
from itnet_kernels.conversion.heads import HEADS, HeadsAttention, first_number
from itnet_kernels.conversion.mixing import WrittenOut
from itnet_kernels.errors import ConversionError


class WrittenAttention(HeadsAttention):
    """A layer that writes attention out, or calls `scaled_dot_product_attention`, by an integral operator.

    The original's `forward` runs, and computes q, k, scores and weights, so that it returns the weights if these are
    wanted. The operator replaces the product of weights and values: its kernel is q kᵀ, and what was added to it
    is `additive`. It replaces `scaled_dot_product_attention` as a whole, and in linear attention, q (kᵀ v), the product
    with q. In attention between channels (XCiT), the points of the field are channels.

    With dropout in training, and while PyTorch traces, the original computes the attention; also where gradients are
    needed and those of the weights are not a softmax's, as of an `autograd.Function` or under `no_grad`.

    Example:
        >>> from itnet_kernels import convert_model
        >>> class SelfAttention(nn.Module):
        ...     def forward(self, x):
        ...         return (x @ x.mT).softmax(-1) @ x
        >>> model, x = nn.Sequential(SelfAttention()), torch.randn(2, 5, 8)
        >>> expected = model(x)
        >>> print(convert_model(model, example=x))
        1 converted, 0 left
          0: SelfAttention
        >>> torch.allclose(model(x), expected, atol=1e-5)
        True

    Args:
        module: the layer; its parameters are shared.
        found: the attention that it computed in a run, see `count_mixing`.

    Raises:
        ConversionError: it computes attention of several sizes, or it mixes points by other products too.
    """

    def __init__(self, module: nn.Module, found: WrittenOut) -> None:
        layer = type(module).__name__
        if found.others:
            others = ", ".join(f"{name} ({count})" for name, count in found.others.items())
            raise ConversionError(layer, found=f"attention, and {others}", expected="attention alone")
        if len(found.sizes) > 1:
            sizes = ", ".join(map(str, sorted(found.sizes)))
            raise ConversionError(
                layer, found=f"attention of (heads, d, key heads, channels, linear) = {sizes}", expected="of one size"
            )
        super().__init__(module)
        [(heads, head_dim, key_heads, channels, linear)] = found.sizes
        kernel = LinearAttentionProduct if linear else ProjectedKernel
        self.operator = projected_attention(kernel(heads, head_dim, key_heads=key_heads), channels)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs, as the original.

        Raises:
            ConversionError: the operator has a sampler or is unlocked, and dropout is active or no attention is found.
        """
        full = isinstance(self.operator.sampler, FullSampler) and isinstance(self.operator.kernel, AttentionKernel)
        if full and tracing():
            return super().forward(*args, **kwargs)
        with _Integrating(self) as following:
            out = super().forward(*args, **kwargs)
        if not (full or following.count):
            raise ConversionError(
                type(self).__name__,
                found="weights that are changed between softmax and values, such as by a head mask, or a softmax with "
                "a derivative of its own",
                expected="attention alone, in an unlocked layer or with a sampler",
            )
        return out

    def integrate(self, attention: Attention) -> Tensor | None:
        """Return the integral, (*batch, N, channels); `None` where the original computes it."""
        if runs_original(self.operator, attention.query, attention.key, dropout=attention.dropout):
            return None
        parts, shape = attention.split(first_number(self, HEADS) or 1), attention.query.shape
        points, keys = shape[-2], attention.key.shape[-2]
        mask, dtype = parts.mask, attention.query.dtype
        if attention.is_causal:
            mask = torch.ones(points, keys, dtype=torch.bool, device=attention.query.device).tril()
        scores = additive_mask(~mask if mask is not None and mask.dtype == torch.bool else mask, dtype)
        scaling = shape[-1] ** -0.5 if attention.scaling is None else attention.scaling
        start = keys - points if getattr(self, "is_causal", False) else 0  # the past is in a cache
        out, _ = self.attend_heads(parts.query, parts.key, parts.value, scores, scaling=scaling, start=start)
        return out.transpose(1, 2).reshape(*shape[:-1], -1)


class _Integrating(Following):
    """Computes attention by a layer's operator."""

    def __init__(self, layer: WrittenAttention) -> None:
        super().__init__((*layer.parameters(), *layer.buffers()))
        self.layer, self.count = layer, 0

    def integrate(self, attention: Attention, calls: tuple[Any, ...]) -> Tensor | None:
        self.count += 1
        return self.layer.integrate(attention)
