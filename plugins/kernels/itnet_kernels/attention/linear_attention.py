"""Linear attention."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import (
    ComponentConfig,
    FastPath,
    Field,
    Kernel,
    Normalization,
    Points,
    Problem,
    ScalarConfig,
    Support,
    sum_values,
)
from itnet_kernels.attention.heads import resolve_head_dim
from itnet_kernels.numerics.decayed_sums import decayed_sums
from itnet_kernels.numerics.timeline import in_order
from itnet_kernels.numerics.weights import apply_weights, normalize_weights


class LinearAttentionKernel(Kernel[Tensor, Any]):
    """Linear attention: e^k = ⟨φ(W_q u(x)), φ(W_k u(y))⟩ under softmax, with φ = elu + 1.

    Katharopoulos et al., arXiv 2006.16236, eq. 7. With the normalization `none`, k itself is that inner product, under
    the counting measure where the support is causal.

    `integrate` is two matrix products over all pairs, or a chunked scan over the past of points in order. A stream
    keeps Σ φ(k) vᵀ and Σ φ(k).

    Example:
        >>> operator = IntegralOperator(8, LinearAttentionKernel(8, heads=2))
        >>> operator(Field(torch.randn(1, 1000, 8), torch.rand(1, 1000, 4))).values.shape
        torch.Size([1, 1000, 8])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.

    Raises:
        ShapeError: a head would have no channels.
    """

    class Config(ScalarConfig):
        """Heads, normalization and support."""

        heads: PositiveInt = 4
        """Number of scalar kernels."""
        head_dim: PositiveInt | None = None
        """Channels of a query's and a key's head; dim // heads by default."""
        bias: bool = False
        """Whether the maps to queries and keys have a bias."""
        normalization: Normalization = "softmax"
        """`softmax` for weights that sum to 1, or `none`."""
        support: Support = Support()
        """Pairs that the integral runs over."""

    pointwise_terms = True

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Return `False`: the kernel reads content alone."""
        return False

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.normalization, self.values, self.support = c.heads, c.normalization, c.values, c.support
        self.measure = "given" if c.support.causal is None else "counting"
        self.head_dim = resolve_head_dim("LinearAttentionKernel", dim, c.heads, c.head_dim)
        self.query = nn.Linear(dim, c.heads * self.head_dim, bias=c.bias)
        self.key = nn.Linear(dim, c.heads * self.head_dim, bias=c.bias)

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Compute φ(q), (B, N, heads, head_dim), and φ(k), (B, M, heads, head_dim)."""
        return self._features(self.query, query), self._features(self.key, key)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        weight = query_terms.transpose(1, 2) @ key_terms.permute(0, 2, 3, 1)
        if self.normalization == "none":
            return weight
        return weight.clamp(min=torch.finfo(weight.dtype).tiny).log()

    @property
    def pair_width(self) -> int:
        """The inner product, and under softmax its logarithm."""
        return self.heads if self.normalization == "none" else 2 * self.heads

    @property
    def opaque(self) -> bool:
        """Whether the fast path reads the order of the points."""
        return self.support.causal is not None and not self._bounded

    def offers(self, path: FastPath) -> bool:
        """Whether the kernel has a fast path. It has no `step` with a radius, a window or an edge: past points leave
        them."""
        return super().offers(path) and not (path == "step" and self._bounded)

    def can_integrate(self, problem: Problem[Tensor]) -> bool:
        """Whether the pairs separate: all of them, or the past of points in order."""
        if self._bounded:
            return False
        return self.support.causal is None or in_order(problem.query, problem.key, self.support)

    def integrate(self, problem: Problem[Tensor]) -> Tensor:
        """Compute the sums, and under softmax divide them by the sum of the weights."""
        points = normalize_weights(problem.key) if self.normalization == "softmax" else problem.key
        values = self._extend(problem.values, points)
        if self.support.causal is not None:
            return self._divide(decayed_sums(problem.query_terms, problem.key_terms, values))
        moments = sum_values(problem.key_terms.permute(0, 2, 3, 1), values).transpose(1, 2)  # (B, heads, head_dim, d)
        return self._divide((problem.query_terms.transpose(1, 2) @ moments).transpose(1, 2))

    def step(self, state: Any, query: Field, values: Tensor) -> tuple[Any, Tensor]:
        """Advance a stream; the state is Σ φ(k) vᵀ, (B, heads, head_dim, channels), and Σ φ(k) under softmax."""
        queries, keys = self.project(query, query)
        added = keys.permute(0, 2, 3, 1) @ self._extend(values, query.points).transpose(1, 2)
        state = added if state is None else state + added
        return state, self._divide((queries.transpose(1, 2) @ state).transpose(1, 2))

    @property
    def _bounded(self) -> bool:
        return self.support.local or self.support.edge > 0

    def _features(self, linear: nn.Module, field: Field) -> Tensor:
        x = linear(field.values)
        # elu(x) + 1; graphs declare other strides for the gradient of PyTorch's elu than it has.
        return torch.unflatten(x.clamp(max=0).exp() + x.relu(), -1, (self.heads, self.head_dim))

    def _extend(self, values: Tensor, points: Points) -> Tensor:
        """Multiply values by the weights, and under softmax append the weights as one more channel."""
        if self.normalization == "softmax":
            values = F.pad(values, (0, 1), value=1.0)
        return apply_weights(values, points)

    def _divide(self, sums: Tensor) -> Tensor:
        """Divide by the last channel, the sum of the weights, under softmax."""
        if self.normalization == "none":
            return sums
        total = sums[..., -1:]
        return sums[..., :-1] / torch.where(total > 0, total, 1.0)
