"""Attention."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Field, Kernel, Points, Problem, ShapeError, Support
from itnet_core.operator.points import distinct, log_weights
from itnet_core.operator.precision import exact_dtype
from itnet_core.operator.transforms import differentiated
from itnet_kernels.attention.stream import step_over_all
from itnet_kernels.numerics.timeline import in_order

Terms = tuple[Tensor, ...]


class AttentionKernel(Kernel[Any, Any]):
    """k_h = ⟨W_q u(x), W_k u(y)⟩ / √d, with softmax as its normalisation (OPERATOR §4): multi-head attention.

    Self- or cross-attention is a matter of the fields; causal attention is a support; padding has weight 0; and weights
    that differ are log w added to the scores, as for any measure. Positions enter by ALiBi (Press et al.,
    arXiv 2108.12409), −2^{−8h/heads} |t − s|, or by rotation of q and k (Su et al., arXiv 2104.09864), along the first
    coordinate. The shortcut is PyTorch's `scaled_dot_product_attention`; a stream keeps keys and values.

    Scores of a call, such as masks and relative position biases, are an argument of the operator:
    `operator(query, key, additive=scores)`, of a shape that expands to (B, heads, N, M). They follow the nodes of a
    sampler.
    """

    normalization = "softmax"

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            heads: of the queries.
            key_heads: of keys and values, each shared by a group of query heads; by default as many as `heads`.
            head_dim: channels of a query's and a key's head, d; dim // heads by default.
            bias: whether the four linear maps have one.
            alibi: whether scores fall with the distance.
            rotary: whether queries and keys are rotated by their places.
            unit: the length that counts as one place, for both.
            support: the pairs that the integral runs over.
        """

        heads: PositiveInt = 4
        key_heads: PositiveInt | None = None
        head_dim: PositiveInt | None = None
        bias: bool = False
        alibi: bool = False
        rotary: bool = False
        unit: PositiveFloat = 1.0
        support: Support = Support()

        @model_validator(mode="after")
        def _groups_are_even(self) -> AttentionKernel.Config:
            if self.heads % (self.key_heads or self.heads):
                raise ValueError(f"heads = {self.heads} is no multiple of key_heads = {self.key_heads}")
            return self

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Return whether scores depend on time, and points differ in it alone."""
        return (config.alibi or config.rotary) and axes == "t"

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.support = c.heads, c.support
        self.key_heads = c.key_heads or c.heads
        self.head_dim = dim // c.heads if c.head_dim is None else c.head_dim
        if self.head_dim == 0 or (c.rotary and self.head_dim % 2):
            raise ShapeError(
                "AttentionKernel",
                found=f"head_dim {self.head_dim}, of dim {dim} and {c.heads} heads",
                expected="a positive number, and an even one with rotary",
                hint="Give head_dim, or another number of heads.",
            )
        self.query = nn.Linear(dim, c.heads * self.head_dim, bias=c.bias)
        self.key = nn.Linear(dim, self.key_heads * self.head_dim, bias=c.bias)

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return V: a linear map to the key heads, each given to its group."""
        group = self.heads // self.key_heads
        linear = nn.Linear(dim, self.key_heads * head_dim, bias=self.config.bias)
        return nn.Sequential(linear, nn.Unflatten(-1, (self.key_heads, head_dim)), _Repeat(group))

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return O: one linear map of all heads."""
        return nn.Sequential(nn.Flatten(-2), nn.Linear(self.heads * head_dim, dim, bias=self.config.bias))

    def project(self, query: Field, key: Field, additive: Tensor | None = None) -> tuple[Terms, Terms]:
        """Return q / √d, (B, N, heads, d), and k, (B, M, key_heads, d), each with its places, (B, N) and (B, M).

        With `additive` also its rows, (B, N, heads, M), for the queries, and for the keys
        their columns, (B, M).

        Raises:
            ShapeError: `additive` has another shape than the pairs, as where a sampler merges the key's points.
        """
        scaled = self.query(query.values).unflatten(-1, (self.heads, self.head_dim)) / self.head_dim**0.5
        queries, keys = scaled, self.key(key.values).unflatten(-1, (self.key_heads, self.head_dim))
        precise = torch.promote_types(queries.dtype, torch.float32)  # bfloat16 has no odd numbers above 256
        places = [(f.positions[..., 0] / self.config.unit).to(precise) for f in (query, key)]
        if self.config.rotary:
            queries, keys = rotated(queries, places[0]), rotated(keys, places[1])
        if additive is None:
            return (queries, places[0]), (keys, places[1])
        (batch, points), columns = queries.shape[:2], torch.arange(keys.shape[1], device=keys.device)
        rows = self._expanded(additive.to(queries.dtype), (batch, self.heads, points, len(columns))).transpose(1, 2)
        return (queries, places[0], rows), (keys, places[1], columns.expand(batch, -1))

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Return the scores, (B, heads, n, m)."""
        (queries, query_places, *rows), (keys, key_places, *columns) = query_terms, key_terms
        scores = queries.transpose(1, 2) @ self._for_each_head(keys).permute(0, 2, 3, 1)
        if rows:
            scores = scores + _at_columns(rows[0], columns[0])
        if not self.config.alibi:
            return scores
        distance = (query_places.unsqueeze(2) - key_places.unsqueeze(1)).abs()
        return scores - (slopes(self.heads).to(distance).view(-1, 1, 1) * distance.unsqueeze(1)).to(scores.dtype)

    def can_integrate(self, problem: Problem[Any]) -> bool:
        """Whether PyTorch's attention computes it without a matrix of masks or biases.

        Not with ALiBi, nor with a radius, window or edge; causal, where both sides have the same points, in their
        order, with equal weights that no gradient is asked for and without `additive`.
        """
        causal, bounded = self.support.causal is not None, (self.support.radius, self.support.window) != (None, None)
        if self.config.alibi or bounded or self.support.edge:
            return False
        if not causal:
            return True
        plain = len(problem.query_terms) == 2 and _count_alike(problem.key)
        return plain and in_order(problem.query, problem.key, self.support)

    def integrate(self, problem: Problem[Any]) -> Tensor:
        """Return PyTorch's attention."""
        (q, _, *rows), k = problem.query_terms, self._for_each_head(problem.key_terms[0])
        present, mask = None, _at_columns(rows[0], problem.key_terms[2]) if rows else None
        if not _count_alike(problem.key):
            present = (problem.key.weights > 0).any(-1)  # where nothing is, softmax would be 0 / 0
            logs = log_weights(problem.key.weights)
            logs = logs - logs.detach().amax(-1, keepdim=True)  # small numbers, which half precision rounds less
            bias = logs.where(present.unsqueeze(-1), 0.0).to(q.dtype)[:, None, None]
            mask = bias if mask is None else mask + bias
        q, k, v = (side.transpose(1, 2) for side in (q, k, problem.values))
        causal = self.support.causal is not None
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=1.0).transpose(1, 2)
        return out if present is None else out * present[:, None, None, None]

    def step(self, state: tuple[Any, ...] | None, query: Field, values: Tensor) -> tuple[Any, Tensor]:
        """Return the integral over the keys that are kept, (terms, positions, weights, values), and the new one."""
        return step_over_all(self, state, query, values)

    def _expanded(self, additive: Tensor, shape: tuple[int, ...]) -> Tensor:
        found = additive.shape
        if len(found) > 4 or any(n not in (1, m) for n, m in zip(found[::-1], shape[::-1], strict=False)):
            raise ShapeError(
                f"{type(self).__name__}.project(additive)",
                found=f"shape {tuple(found)}",
                expected=f"one that expands to (B, heads, queries, keys) = {shape}",
                hint="It belongs to the key's own points: take a sampler that selects some of them, and merges none.",
            )
        return additive.expand(shape)

    def _for_each_head(self, keys: Tensor) -> Tensor:
        return keys if self.key_heads == self.heads else keys.repeat_interleave(self.heads // self.key_heads, dim=2)


def rotated(heads: Tensor, places: Tensor) -> Tensor:
    """Return (B, N, heads, d) with channels i and i + d/2 rotated by place · 10000^(−2i/d), places of shape (B, N).

    The angles are in float64: in float32 those of far places would be off by their own rounding.
    """
    half = heads.shape[-1] // 2
    steps = torch.arange(half, dtype=exact_dtype(heads.device), device=heads.device)
    angles = places[..., None, None].to(steps.dtype) * 10000 ** (-steps / half)
    cos, sin = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def slopes(heads: int) -> Tensor:
    """Return ALiBi's slopes, 2^(−8h/heads) for h = 1 … heads, of shape (heads,)."""
    return 2 ** (-8 * torch.arange(1, heads + 1, dtype=torch.float64) / heads)


def _at_columns(rows: Tensor, columns: Tensor) -> Tensor:
    """Return (B, heads, n, m) of rows (B, n, heads, M) at the columns (B, m) of some keys."""
    every = torch.arange(rows.shape[-1], device=columns.device)
    if columns.shape[1] == len(every) and not torch.compiler.is_compiling() and bool((columns == every).all()):
        return rows.transpose(1, 2)  # spare the copy
    return rows.gather(-1, columns[:, None, None].expand(*rows.shape[:3], -1)).transpose(1, 2)


def _count_alike(points: Points) -> bool:
    """Whether softmax may do without weights: all points have one, above 0, by which no derivative is taken."""
    return not differentiated(points.weights) and points.cached(_are_equal)


def _are_equal(points: Points) -> bool:
    weights = distinct(points.weights)
    return bool(((weights == weights[:1, :1]) & (weights > 0)).all())


class _Repeat(nn.Module):
    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, values: Tensor) -> Tensor:
        """Repeat each head."""
        return values if self.times == 1 else values.repeat_interleave(self.times, dim=2)
