"""Multi-head attention."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from itnet_core import (
    ComponentConfig,
    Field,
    Kernel,
    Points,
    Problem,
    ScalarConfig,
    ShapeError,
    Support,
    differentiated,
    distinct,
    log_weights,
)
from itnet_kernels.attention.heads import resolve_head_dim
from itnet_kernels.attention.position_encoding import alibi_slopes, rotate
from itnet_kernels.numerics.timeline import in_order

Terms = tuple[Tensor, ...]


class AttentionKernel(Kernel[Terms, None]):
    """Attention: k_h = ⟨W_q u(x), W_k u(y)⟩ / √d with the normalization softmax (docs/operator.md, §4).

    Vaswani et al., arXiv 1706.03762, eq. 1. The fields decide between self- and cross-attention; a causal support makes
    it causal; padding has weight 0, and other weights w add log w to the scores, as for any measure. Positions enter by
    ALiBi, −2^{−8h/heads} |t − s| (Press et al., arXiv 2108.12409), or by rotation of q and k (Su et al., arXiv
    2104.09864), along the first coordinate.

    `integrate` is PyTorch's `scaled_dot_product_attention`. It applies without ALiBi, radius, window and edge; under a
    causal support to points in the order of time with equal weights. A stream keeps the keys and values of all points.

    Masks and relative position biases are an argument of the operator's call: numbers that are added to the scores, of
    a shape that expands to (B, heads, N, M). They follow the nodes of a sampler.

    Example:
        >>> operator = IntegralOperator(8, AttentionKernel(8, heads=2))
        >>> text = Field.on_grid(torch.randn(1, 5, 8), axes="t", measure="counting")
        >>> operator(text, additive=torch.randn(2, 5, 5)).values.shape
        torch.Size([1, 5, 8])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.

    Raises:
        ShapeError: a head would have no channels, or an odd number of them with rotary.
    """

    normalization = "softmax"
    pointwise_terms = True
    exportable = True

    class Config(ScalarConfig):
        """Heads, position encoding and support."""

        heads: PositiveInt = 4
        """Heads of the queries."""
        key_heads: PositiveInt | None = None
        """Heads of keys and values, each shared by a group of query heads; as many as `heads` by default."""
        head_dim: PositiveInt | None = None
        """Channels of a query's and a key's head, d; dim // heads by default."""
        bias: bool = False
        """Whether the four linear maps have a bias."""
        alibi: bool = False
        """Whether scores decrease linearly with the distance in time (ALiBi)."""
        rotary: bool = False
        """Whether queries and keys are rotated by their positions."""
        unit: PositiveFloat = 1.0
        """Distance that counts as one position, for ALiBi and rotary."""
        support: Support = Support()
        """Pairs that the integral runs over."""

        @model_validator(mode="after")
        def _groups_are_even(self) -> AttentionKernel.Config:
            if self.heads % (self.key_heads or self.heads):
                raise ValueError(f"heads = {self.heads} to be a multiple of key_heads = {self.key_heads}")
            return self

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Whether scores depend on time, and the points differ in it alone."""
        return (config.alibi or config.rotary) and axes == "t"

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.values, self.support = c.heads, c.values, c.support
        self.key_heads = c.key_heads or c.heads
        self.head_dim = resolve_head_dim("AttentionKernel", dim, c.heads, c.head_dim, rotary=c.rotary)
        self.query = nn.Linear(dim, c.heads * self.head_dim, bias=c.bias)
        self.key = nn.Linear(dim, self.key_heads * self.head_dim, bias=c.bias)

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return V: a linear map to the key heads, each repeated for its group; a view where values are `full`."""
        if self.values == "full":
            return super().value_map(dim, head_dim)
        group = self.heads // self.key_heads
        linear = nn.Linear(dim, self.key_heads * head_dim, bias=self.config.bias)
        return nn.Sequential(linear, nn.Unflatten(-1, (self.key_heads, head_dim)), RepeatedHeads(group))

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return O: one linear map of all heads."""
        return nn.Sequential(nn.Flatten(-2), nn.Linear(self.heads * head_dim, dim, bias=self.config.bias))

    def project(self, query: Field, key: Field, additive: Tensor | None = None) -> tuple[Terms, Terms]:
        """Compute q / √d, (B, N, heads, d), and k, (B, M, key_heads, d), with their positions, (B, N) and (B, M).

        `additive` appends its rows, (B, N, heads, M), to the terms of the queries, and the numbers of its columns,
        (B, M), to those of the keys.

        Raises:
            ShapeError: `additive` does not expand to (B, heads, N, M); a sampler that merges points changes M.
        """
        scaled = self.query(query.values).unflatten(-1, (self.heads, self.head_dim)) / self.head_dim**0.5
        queries, keys = scaled, self.key(key.values).unflatten(-1, (self.key_heads, self.head_dim))
        dtype = torch.promote_types(queries.dtype, torch.float32)  # bfloat16 has no odd numbers above 256
        query_positions, key_positions = ((f.positions[..., 0] / self.config.unit).to(dtype) for f in (query, key))
        if self.config.rotary:
            queries, keys = rotate(queries, query_positions), rotate(keys, key_positions)
        if additive is None:
            return (queries, query_positions), (keys, key_positions)
        (batch, points), columns = queries.shape[:2], torch.arange(keys.shape[1], device=keys.device)
        shape = batch, self.heads, points, len(columns)
        rows = expand_additive(additive.to(queries.dtype), shape, type(self).__name__).transpose(1, 2)
        return (queries, query_positions, rows), (keys, key_positions, columns.expand(batch, -1))

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Compute the scores, (B, heads, n, m)."""
        (queries, query_positions, *rows), (keys, key_positions, *columns) = query_terms, key_terms
        scores = queries.transpose(1, 2) @ self._for_each_head(keys).permute(0, 2, 3, 1)
        if rows:
            scores = scores + select_columns(rows[0], columns[0])
        if not self.config.alibi:
            return scores
        distance = (query_positions.unsqueeze(2) - key_positions.unsqueeze(1)).abs()
        slopes = alibi_slopes(self.heads).to(distance).view(-1, 1, 1)
        return scores - (slopes * distance.unsqueeze(1)).to(scores.dtype)

    def can_integrate(self, problem: Problem[Terms]) -> bool:
        """Whether PyTorch's attention computes the integral without a matrix of masks or biases.

        It does not with ALiBi, a radius, a window or an edge. Under a causal support it does if the call has no
        `additive`, and both sides are the same points in the order of time, with equal weights that need no gradient. A
        compiled graph cannot check this, and uses a mask.
        """
        causal, bounded = self.support.causal is not None, self.support.local
        if self.config.alibi or bounded or self.support.edge:
            return False
        if not causal or torch.compiler.is_compiling():
            return True
        plain = len(problem.query_terms) == 2 and _has_equal_weights(problem.key)
        return plain and in_order(problem.query, problem.key, self.support)

    def integrate(self, problem: Problem[Terms]) -> Tensor:
        """Compute the integral by PyTorch's attention."""
        (q, _, *rows), k = problem.query_terms, self._for_each_head(problem.key_terms[0])
        mask = select_columns(rows[0], problem.key_terms[2]) if rows else None
        nonempty, causal = None, self.support.causal is not None
        if torch.compiler.is_compiling() or not _has_equal_weights(problem.key):
            inside = (problem.key.weights > 0).unsqueeze(1)  # (B, 1, M), or (B, N, M) under a causal support
            if causal:
                inside, causal = inside & self.support.mask(problem.query.positions, problem.key.positions), False
            nonempty = inside.any(-1, keepdim=True)  # a query without mass would give 0 / 0
            logs = log_weights(problem.key.weights)
            logs = logs - logs.detach().amax(-1, keepdim=True)  # half precision rounds small numbers less
            bias = torch.where(inside, logs.unsqueeze(1), -torch.inf)
            bias = torch.where(nonempty, bias, 0.0).to(q.dtype).unsqueeze(1)
            mask = bias if mask is None else mask + bias
        q, k, v = (side.transpose(1, 2) for side in (q, k, problem.values.expand(-1, -1, self.heads, -1)))
        channels = v.shape[-1]
        if short := channels - self.head_dim:  # PyTorch would hold the matrix of scores where the widths differ
            q, k = (F.pad(side, (0, max(short, 0))) for side in (q, k))
            v = F.pad(v, (0, max(-short, 0)))
        with sdpa_kernel(SDPBackend.MATH) if _rounds_gradients(mask, q, k, v) else nullcontext():
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=1.0)
        out = out[..., :channels].transpose(1, 2)
        return out if nonempty is None else out * nonempty.unsqueeze(-1)

    def _for_each_head(self, keys: Tensor) -> Tensor:
        return keys if self.key_heads == self.heads else keys.repeat_interleave(self.heads // self.key_heads, dim=2)


def _rounds_gradients(mask: Tensor | None, *sides: Tensor) -> bool:
    """Whether gradients are needed, and large negative numbers mask all keys of a query.

    PyTorch's fused backward passes keep the logarithm of a query's total weight in a sum with its largest score. One of
    −1e10 rounds the weight away, and the gradients of this query are wrong.
    """
    if mask is None or torch.compiler.is_compiling() or not any(map(differentiated, sides)):
        return False
    largest = mask.detach().amax(-1)
    if differentiated(largest):  # under a transform, which gives no numbers
        return True
    return bool(((largest < -100) & largest.isfinite()).any())


def expand_additive(additive: Tensor, shape: tuple[int, ...], kernel: str) -> Tensor:
    """Expand the argument `additive` of a call to (B, heads, N, M).

    Raises:
        ShapeError: it does not expand to this shape.
    """
    sizes = additive.shape
    if len(sizes) > 4 or any(n not in (1, m) for n, m in zip(sizes[::-1], shape[::-1], strict=False)):
        raise ShapeError(
            f"{kernel}.project(additive)",
            found=f"shape {tuple(sizes)}",
            expected=f"one that expands to (B, heads, queries, keys) = {shape}",
            hint="Use a sampler that selects points of the key; one that merges points changes their number.",
        )
    return additive.expand(shape)


def select_columns(rows: Tensor, columns: Tensor) -> Tensor:
    """Select columns (B, m) of rows (B, n, heads, M), as (B, heads, n, m)."""
    every = torch.arange(rows.shape[-1], device=columns.device)
    if columns.shape[1] == len(every) and not torch.compiler.is_compiling() and bool((columns == every).all()):
        return rows.transpose(1, 2)  # spare the copy
    return rows.gather(-1, columns[:, None, None].expand(*rows.shape[:3], -1)).transpose(1, 2)


def _has_equal_weights(points: Points) -> bool:
    """Whether softmax can ignore the weights: they are equal, positive, and need no gradient."""
    return not differentiated(points.weights) and points.cached(_are_equal)


def _are_equal(points: Points) -> bool:
    weights = distinct(points.weights)
    return bool(((weights == weights[:1, :1]) & (weights > 0)).all())


class RepeatedHeads(nn.Module):
    """Each head several times, one after another."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, values: Tensor) -> Tensor:
        """Repeat each head, (B, M, heads, head_dim) → (B, M, heads · times, head_dim)."""
        return values if self.times == 1 else values.repeat_interleave(self.times, dim=2)
