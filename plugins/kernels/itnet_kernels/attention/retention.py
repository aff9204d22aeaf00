"""Retention."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Field, Kernel, Measure, Problem, ShapeError, Support
from itnet_kernels.attention.attention import rotated
from itnet_kernels.numerics.chunked import decayed_sums
from itnet_kernels.numerics.timeline import in_order, ordered_alone
from itnet_kernels.numerics.weighting import weighted

Terms = tuple[Tensor, Tensor]


class RetentionKernel(Kernel[Any, Any]):
    """k_h = ⟨W_q u(x), W_k u(y)⟩ γ_h^{t−s} / √d over the past, γ_h = 1 − 2^{−5−h} (RetNet: arXiv 2307.08621, eq. 5, 8).

    Times t and s are in units; q and k are rotated by them. The shortcut is RetNet's chunkwise form, its recurrent form
    streams. RetNet's norm of heads and gate are beside the integral.
    """

    measure: Measure = "counting"
    scans = True

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            heads: scalar kernels, each with its decay.
            head_dim: channels of a query's and a key's head, d; dim // heads by default.
            rotary: whether queries and keys are rotated by their times; `head_dim` is even then.
            unit: the length of time in which a head decays once by γ_h.
            axis: of the positions, that is time.
        """

        heads: PositiveInt = 4
        head_dim: PositiveInt | None = None
        rotary: bool = True
        unit: PositiveFloat = 1.0
        axis: str | int = "t"

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Return whether points differ in time alone."""
        return ordered_alone(config.axis, axes)

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.support = c.heads, Support(causal=c.axis)
        self.head_dim = dim // c.heads if c.head_dim is None else c.head_dim
        if self.head_dim == 0 or (c.rotary and self.head_dim % 2):
            raise ShapeError(
                "RetentionKernel",
                found=f"head_dim {self.head_dim}, of dim {dim} and {c.heads} heads",
                expected="a positive number, and an even one with rotary",
                hint="Give head_dim, or another number of heads.",
            )
        self.query = nn.Linear(dim, c.heads * self.head_dim, bias=False)
        self.key = nn.Linear(dim, c.heads * self.head_dim, bias=False)

    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Return q and k / √d, (B, N, heads, d) and (B, M, heads, d), each with its t log γ, (B, N, heads), float64."""
        query_terms, key_terms = self._side(self.query, query), self._side(self.key, key)
        return query_terms, (key_terms[0] / self.head_dim**0.5, key_terms[1])

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        (queries, later), (keys, earlier) = query_terms, key_terms
        scores = queries.transpose(1, 2) @ keys.permute(0, 2, 3, 1)
        fall = later.transpose(1, 2).unsqueeze(-1) - earlier.transpose(1, 2).unsqueeze(-2)
        return scores * fall.clamp(max=0).to(scores.dtype).exp()  # positive where y is later: outside the support

    @property
    def pair_width(self) -> int:
        """A tile holds scores, exponents (in float64) and decays."""
        return 4 * self.heads

    def can_integrate(self, problem: Problem[Any]) -> bool:
        """Whether the points are in order, the same on both sides."""
        return in_order(problem.query, problem.key, self.support)

    def integrate(self, problem: Problem[Any]) -> Tensor:
        """Return the sums chunk by chunk."""
        return decayed_sums(
            problem.query_terms[0], problem.key_terms[0], weighted(problem.values, problem.key), problem.key_terms[1]
        )

    def step(self, state: Terms | None, query: Field, values: Tensor) -> tuple[Terms, Tensor]:
        """Return Σ_s γ^{t−s} k_s v_sᵀ, (B, heads, d, head_dim), with t log γ; and the integral."""
        (queries, level), (keys, _) = self.project(query, query)
        memory = keys.permute(0, 2, 3, 1) @ weighted(values, query.points).transpose(1, 2)
        if state is not None:
            fall = (level - state[1]).clamp(max=0).exp().to(memory.dtype)  # (B, 1, heads)
            memory = memory + fall.transpose(1, 2).unsqueeze(-1) * state[0]
        return (memory, level), (queries.transpose(1, 2) @ memory).transpose(1, 2)

    def _side(self, linear: nn.Module, field: Field) -> Terms:
        heads = linear(field.values).unflatten(-1, (self.heads, self.head_dim))
        axis = self.support.causal_axis(field.positions.shape[-1])
        time = field.positions[..., axis].double() / self.config.unit
        if self.config.rotary:
            heads = rotated(heads, time).to(heads.dtype)
        return heads, time.unsqueeze(-1) * log_decays(self.heads).to(time.device)


def log_decays(heads: int) -> Tensor:
    """Return log γ_h for γ_h = 1 − 2^{−5−h}, h = 0 … heads − 1, of shape (heads,), in float64."""
    return torch.log1p(-(2.0 ** (-5 - torch.arange(heads, dtype=torch.float64))))
