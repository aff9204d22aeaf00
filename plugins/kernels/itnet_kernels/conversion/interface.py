"""Conversion of transformers' attention layers, through its `AttentionInterface`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_kernels.conversion.attention import ProjectedKernel, additive_mask, projected_attention, runs_original
from itnet_kernels.conversion.heads import HEADS, HeadsAttention, first_number
from itnet_kernels.errors import ConversionError

NAME = "itnet-kernels"
"""Name of our function in transformers' registry of attention functions."""

HEAD_DIMS = ("head_dim", "attention_head_size", "head_size", "qk_head_dim")
BLOCKS = "block_indices"
"""Argument of attention functions that selects blocks of keys for each query."""


class FieldAttention(HeadsAttention):
    """An attention layer of transformers by an integral operator.

    The original's `forward` computes q, k and v, with its caches, norms and rotations, and calls the function that its
    configuration names. The converted layer has a copy of the configuration, which names a function of ours. With
    dropout in training, and while PyTorch traces, that function calls the original one.

    Heads are read from the layer's attributes, and from q, k and v at the first call if these differ.

    Example:
        >>> from transformers import BertConfig
        >>> from transformers.models.bert.modeling_bert import BertSelfAttention
        >>> config = BertConfig(hidden_size=8, num_attention_heads=2, attn_implementation="eager")
        >>> attention, x = BertSelfAttention(config).eval(), torch.randn(2, 5, 8)
        >>> torch.allclose(FieldAttention(attention)(x)[0], attention(x)[0], atol=1e-5)
        True

    Args:
        module: the layer; its parameters are shared.

    Raises:
        ConversionError: it selects blocks of keys for each query, its scores depend on relative positions (an option of
            BERT before transformers 5), or its implementation is not `sdpa` or `eager`.
    """

    config: Any
    implementation: str
    """The original's attention function."""

    def __init__(self, module: Any) -> None:
        layer = type(module).__name__
        implementation = module.config._attn_implementation or "eager"
        if implementation not in ("sdpa", "eager"):
            raise ConversionError(
                f"{layer}.config", found=f"attn_implementation={implementation!r}", expected="'sdpa' or 'eager'"
            )
        if BLOCKS in _keywords(type(module).forward):
            raise ConversionError(
                layer, found=f"{BLOCKS}, blocks of keys for each query", expected="keys, or a mask of pairs"
            )
        if (encoding := getattr(module, "position_embedding_type", "absolute")) != "absolute":
            raise ConversionError(f"{layer}.position_embedding_type", found=repr(encoding), expected="'absolute'")
        super().__init__(module)
        _register()
        self.implementation, self.config = implementation, copy(module.config)
        self.config._attn_implementation_internal = NAME
        heads = first_number(module, HEADS) or first_number(module.config, HEADS) or 1
        head_dim = first_number(module, HEAD_DIMS) or getattr(module.config, "hidden_size", heads) // heads
        key_heads = heads // (first_number(module, ("num_key_value_groups",)) or 1)
        softcap = getattr(module, "attn_logit_softcapping", None)
        kernel = ProjectedKernel(heads, head_dim, key_heads=key_heads, softcap=softcap)
        self.operator = projected_attention(kernel, first_number(module, ("v_head_dim",)) or head_dim)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        _register()

    def integrate(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None = None,
        *,
        scaling: float | None = None,
        dropout: float = 0.0,
        is_causal: bool | None = None,
        position_bias: Tensor | None = None,
        softcap: float | None = None,
        s_aux: Tensor | None = None,
        sinks: Tensor | None = None,
        **ignored: Any,
    ) -> tuple[Tensor, Tensor | None] | None:
        """Compute attention by the operator, or return `None` where the original function has to.

        Args:
            query: q, (B, heads, N, d).
            key: k, (B, key heads, M, d).
            value: v, (B, key heads, M, channels).
            attention_mask: `True` for pairs that count, or numbers to add to the scores.
            scaling: factor on the scores; 1 / √d by default.
            dropout: probability that a weight is dropped.
            is_causal: whether earlier queries see earlier keys alone, if there is no mask.
            position_bias: numbers to add to the scores.
            softcap: bound of the scores.
            s_aux: score of each head for a key whose value is 0, (heads,).
            sinks: scores of such keys, (B, heads, N, keys).
            ignored: what says the same as the mask, or serves other functions.

        Returns:
            The values, (B, N, heads, channels), and in `eager` mode the weights, (B, heads, N, M).
        """
        if runs_original(self.operator, query, key, dropout=dropout > 0 and self.training):
            return None
        eager, (points, keys) = self.implementation == "eager", (query.shape[2], key.shape[2])
        causal = getattr(self, "is_causal", True) if is_causal is None else is_causal
        mask = attention_mask
        if mask is not None and eager:  # which adds truth values, too, to the scores
            mask = mask.to(query.dtype)
        if mask is None and causal and points > 1 and not eager:
            mask = torch.ones(points, keys, dtype=torch.bool, device=query.device).tril()
        scores = additive_mask(~mask if mask is not None and mask.dtype == torch.bool else mask, query.dtype)
        scores = scores if scores is None else scores[..., :keys]
        if position_bias is not None:
            scores = position_bias if scores is None else scores + position_bias
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        if s_aux is not None:
            sinks = s_aux.view(1, -1, 1, 1)
        if sinks is not None:
            shape = (*query.shape[:3], sinks.shape[-1])
            key, value = (F.pad(side, (0, 0, 0, shape[-1])) for side in (key, value))
            scores = query.new_zeros(1, 1, 1, 1) if scores is None else scores
            scores = torch.cat([scores.expand(*shape[:3], keys), sinks.expand(shape).to(scores)], dim=-1)
        start = keys - points if getattr(self, "is_causal", False) else 0  # the past is in a cache
        options: Any = {"scaling": scaling, "softcap": softcap, "start": start, "need_weights": eager}
        out, weights = self.attend_heads(query, key, value, scores, **options)
        return out, None if weights is None else weights[..., :keys]


def uses_interface(cls: type[nn.Module]) -> bool:
    """Whether a layer's `forward` calls a function of transformers' registry of attention functions."""
    code = getattr(inspect.unwrap(cls.forward), "__code__", None)
    return code is not None and "ALL_ATTENTION_FUNCTIONS" in code.co_names


def _keywords(function: Callable[..., Any]) -> set[Any]:
    """Return the names of the keyword arguments of a function's calls, among its other constants in tuples."""
    constants = inspect.unwrap(function).__code__.co_consts
    return {name for constant in constants if isinstance(constant, tuple) for name in constant}


def _register() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attention)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any = None,
    *,
    indices: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Compute attention as an attention function of transformers does."""
    if not isinstance(module, FieldAttention):
        raise ConversionError(
            "attn_implementation",
            found=f"{NAME!r} for {type(module).__name__}",
            expected="a converted layer",
            hint="Call itnet_kernels.convert_model, which sets it.",
        )
    if not (isinstance(attention_mask, Tensor) or (attention_mask is None and indices is None)):
        raise ConversionError(
            f"{type(module).__name__}(attention_mask)", found=type(attention_mask).__name__, expected="a tensor"
        )
    if attention_mask is not None and indices is not None:
        attention_mask = _selected(attention_mask, indices)
    found = module.integrate(query, key, value, attention_mask, **options)
    return _original(module)(module, query, key, value, attention_mask, **options) if found is None else found


def _selected(mask: Tensor, indices: Tensor) -> Tensor:
    """Return a mask (B, 1, N, M), of truth values or added to the scores, without the keys not in `indices` (B, N, k).

    A layer with indexed keys builds this mask itself for PyTorch's functions, and gives indices to others.
    """
    others = torch.ones_like(mask, dtype=torch.bool).scatter(-1, indices.long().unsqueeze(1), False)
    return mask & ~others if mask.dtype == torch.bool else mask.masked_fill(others, torch.finfo(mask.dtype).min)


def _original(layer: FieldAttention) -> Callable[..., Any]:
    """Return the attention function of the original layer."""
    names = inspect.unwrap(type(layer).forward).__globals__
    registry, eager = names["ALL_ATTENTION_FUNCTIONS"], names.get("eager_attention_forward")
    original: Callable[..., Any] = registry.get_interface(layer.implementation, eager)
    return original
