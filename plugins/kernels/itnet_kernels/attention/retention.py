"""Retention."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Field, Problem, ScalarConfig
from itnet_kernels.attention.heads import resolve_head_dim
from itnet_kernels.attention.position_encoding import rotate
from itnet_kernels.causal import CausalKernel
from itnet_kernels.numerics.decayed_sums import decayed_sums
from itnet_kernels.numerics.weights import apply_weights

Terms = tuple[Tensor, Tensor]


class RetentionKernel(CausalKernel[Terms, Terms]):
    """Retention: k_h = ⟨W_q u(x), W_k u(y)⟩ γ_h^{t−s} / √d over the past, γ_h = 1 − 2^{−5−h}.

    RetNet, Sun et al., arXiv 2307.08621, eq. 5 and 8. Times t and s are in units; q and k are rotated by them.
    `integrate` is RetNet's chunkwise form, for points in order; `step` its recurrent form. RetNet's norm of heads and
    its gate come after the integral.

    Example:
        >>> operator = IntegralOperator(8, RetentionKernel(8, heads=2))
        >>> operator(Field.on_grid(torch.randn(1, 1000, 8), axes="t")).values.shape
        torch.Size([1, 1000, 8])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.

    Raises:
        ShapeError: a head would have no channels, or an odd number of them with rotary.
    """

    class Config(CausalKernel.Config, ScalarConfig):
        """Heads and time."""

        heads: PositiveInt = 4
        """Number of scalar kernels, each with its decay."""
        head_dim: PositiveInt | None = None
        """Channels of a query's and a key's head, d; dim // heads by default."""
        rotary: bool = True
        """Whether queries and keys are rotated by their times; it needs an even `head_dim`."""
        unit: PositiveFloat = 1.0
        """Length of time in which a head decays by its factor once."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        c = self.config
        self.heads, self.values = c.heads, c.values
        self.head_dim = resolve_head_dim("RetentionKernel", dim, c.heads, c.head_dim, rotary=c.rotary)
        self.query = nn.Linear(dim, c.heads * self.head_dim, bias=False)
        self.key = nn.Linear(dim, c.heads * self.head_dim, bias=False)

    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Compute q, (B, N, heads, d), and k / √d, (B, M, heads, d), each with t log γ, (B, points, heads), float64."""
        query_terms, (keys, levels) = self._side(self.query, query), self._side(self.key, key)
        return query_terms, (keys / self.head_dim**0.5, levels)

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        (queries, later), (keys, earlier) = query_terms, key_terms
        scores = queries.transpose(1, 2) @ keys.permute(0, 2, 3, 1)
        fall = later.transpose(1, 2).unsqueeze(-1) - earlier.transpose(1, 2).unsqueeze(-2)
        return scores * fall.clamp(max=0).to(scores.dtype).exp()  # positive where y is later: outside the support

    @property
    def pair_width(self) -> int:
        """Scores, exponents (in float64) and decays."""
        return 4 * self.heads

    def integrate(self, problem: Problem[Terms]) -> Tensor:
        """Compute the sums chunk by chunk."""
        (queries, _), (keys, levels) = problem.query_terms, problem.key_terms
        return decayed_sums(queries, keys, apply_weights(problem.values, problem.key), levels)

    def step(self, state: Terms | None, query: Field, values: Tensor) -> tuple[Terms, Tensor]:
        """Advance a stream; the state is Σ_s γ^{t−s} k_s v_sᵀ, (B, heads, d, head_dim), and t log γ."""
        (queries, level), (keys, _) = self.project(query, query)
        memory = keys.permute(0, 2, 3, 1) @ apply_weights(values, query.points).transpose(1, 2)
        if state is not None:
            fall = (level - state[1]).clamp(max=0).exp().to(memory.dtype)  # (B, 1, heads)
            memory = memory + fall.transpose(1, 2).unsqueeze(-1) * state[0]
        return (memory, level), (queries.transpose(1, 2) @ memory).transpose(1, 2)

    def _side(self, linear: nn.Module, field: Field) -> Terms:
        heads = linear(field.values).unflatten(-1, (self.heads, self.head_dim))
        time = self.time(field.positions).double() / self.config.unit
        if self.config.rotary:
            heads = rotate(heads, time).to(heads.dtype)
        return heads, time.unsqueeze(-1) * log_decays(self.heads).to(time.device)


def log_decays(heads: int) -> Tensor:
    """Return log γ_h for γ_h = 1 − 2^{−5−h}, h = 0 … heads − 1, shape (heads,), in float64."""
    return torch.log1p(-(2.0 ** (-5 - torch.arange(heads, dtype=torch.float64))))
