"""Linear attention."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Field, Kernel, Normalization, Points, Problem, ShapeError, Support
from itnet_kernels.numerics.chunked import decayed_sums
from itnet_kernels.attention.stream import step_over_all
from itnet_kernels.numerics.timeline import in_order
from itnet_kernels.numerics.weighting import normalized, weighted


class LinearAttentionKernel(Kernel[Any, Any]):
    """⟨φ(W_q u(x)), φ(W_k u(y))⟩ with φ = elu + 1 as the weight of y (Katharopoulos et al., arXiv 2006.16236, eq. 7).

    Normalised, as in the paper, k is the logarithm of that weight under softmax; with normalization `none` it is the
    weight itself, under the counting measure where the support is causal. The shortcut is two matrix products over all
    pairs, a chunked scan over the past; a stream keeps Σ φ(k) vᵀ and Σ φ(k).
    """

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            heads: scalar kernels.
            head_dim: channels of a query's and a key's head; dim // heads by default.
            bias: whether the maps to queries and keys have one.
            normalization: `softmax` for weights that sum to 1, or `none`.
            support: the pairs that the integral runs over.
        """

        heads: PositiveInt = 4
        head_dim: PositiveInt | None = None
        bias: bool = False
        normalization: Normalization = "softmax"
        support: Support = Support()

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Return `False`: content alone."""
        return False

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.normalization, self.support = c.heads, c.normalization, c.support
        self.measure = "given" if c.support.causal is None else "counting"
        self.head_dim = dim // c.heads if c.head_dim is None else c.head_dim
        if self.head_dim == 0:
            raise ShapeError(
                "LinearAttentionKernel",
                found=f"head_dim 0, of dim {dim} and {c.heads} heads",
                expected="a positive number",
                hint="Give head_dim, or another number of heads.",
            )
        self.query = nn.Linear(dim, c.heads * self.head_dim, bias=c.bias)
        self.key = nn.Linear(dim, c.heads * self.head_dim, bias=c.bias)

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return φ(q), (B, N, heads, head_dim), and φ(k), (B, M, heads, head_dim)."""
        return self._features(self.query, query), self._features(self.key, key)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        weight = query_terms.transpose(1, 2) @ key_terms.permute(0, 2, 3, 1)
        if self.normalization == "none":
            return weight
        return weight.clamp(min=torch.finfo(weight.dtype).tiny).log()

    @property
    def pair_width(self) -> int:
        """A tile holds the weight, and under softmax its logarithm."""
        return self.heads if self.normalization == "none" else 2 * self.heads

    def can_integrate(self, problem: Problem[Any]) -> bool:
        """Whether the pairs can be separated: all of them, or the past of points in order."""
        if self._bounded:
            return False
        if self.support.causal is None:
            return True
        return in_order(problem.query, problem.key, self.support)

    def integrate(self, problem: Problem[Any]) -> Tensor:
        """Return the sums, and divide them by those of the weights under softmax."""
        points = normalized(problem.key) if self.normalization == "softmax" else problem.key
        values = self._extended(problem.values, points)
        if self.support.causal is not None:
            return self._finished(decayed_sums(problem.query_terms, problem.key_terms, values))
        moments = problem.key_terms.permute(0, 2, 3, 1) @ values.transpose(1, 2)  # (B, heads, head_dim, channels)
        return self._finished((problem.query_terms.transpose(1, 2) @ moments).transpose(1, 2))

    def step(self, state: Any, query: Field, values: Tensor) -> tuple[Any, Tensor]:
        """Return Σ φ(k) vᵀ so far, (B, heads, head_dim, channels), under softmax with 1 as a channel of v; and the sum.

        With a radius, a window or an edge, points count less or more later on, and all of them are kept.
        """
        if self._bounded:
            return step_over_all(self, state, query, values)
        queries, keys = self.project(query, query)
        added = keys.permute(0, 2, 3, 1) @ self._extended(values, query.points).transpose(1, 2)
        state = added if state is None else state + added
        return state, self._finished((queries.transpose(1, 2) @ state).transpose(1, 2))

    @property
    def _bounded(self) -> bool:
        return (self.support.radius, self.support.window) != (None, None) or self.support.edge > 0

    def _features(self, linear: nn.Module, field: Field) -> Tensor:
        return torch.unflatten(F.elu(linear(field.values)) + 1, -1, (self.heads, self.head_dim))

    def _extended(self, values: Tensor, points: Points) -> Tensor:
        """Return values times weights, and under softmax the weights too, as one more channel."""
        if self.normalization == "softmax":
            values = F.pad(values, (0, 1), value=1.0)
        return weighted(values, points)

    def _finished(self, sums: Tensor) -> Tensor:
        if self.normalization == "none":
            return sums
        total = sums[..., -1:]
        return sums[..., :-1] / torch.where(total > 0, total, 1.0)
