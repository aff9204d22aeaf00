"""Mamba, a selective state space for each channel."""

from __future__ import annotations

from math import ceil
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Field, Problem
from itnet_kernels.numerics.selective_scan import selective_scan
from itnet_kernels.numerics.timeline import in_order, potentials
from itnet_kernels.numerics.weights import apply_weights
from itnet_kernels.state_space.channelwise import ChannelwiseKernel
from itnet_kernels.state_space.steps import SteppedConfig, init_step_bias

Terms = tuple[Tensor, ...]


class MambaKernel(ChannelwiseKernel[Terms, Tensor]):
    """Mamba (S6): k_d = Σ_n C_tn e^{A_dn (T_td − T_sd)} Δ_sd B_sn over the past, with T = Σ Δ.

    Gu & Dao, arXiv 2312.00752, §3. Δ = softplus(W u + b), B and C are functions of the field at a point, A < 0 is
    learned. That is the recurrence h_t = e^{AΔ_t} h_{t−1} + Δ_t B_t u_t, y_t = C_t h_t. Time passes by Δ alone;
    positions only order the points.

    `transform` and `integrate` are the selective scan, for points in order. Mamba's convolution, gate and skip surround
    the integral: see `MambaMixer`.

    Example:
        >>> operator = IntegralOperator(8, MambaKernel(8))
        >>> operator(Field.on_grid(torch.randn(1, 1000, 8), axes="t")).values.shape
        torch.Size([1, 1000, 8])

    Args:
        dim: channels of the fields, and heads.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    class Config(SteppedConfig):
        """States and steps."""

        state: PositiveInt = 16
        """States of a channel, N."""
        rank: PositiveInt | None = None
        """Rank of the map from a field's channels to Δ; dim / 16, rounded up, by default."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        c = self.config
        rank = c.rank or ceil(dim / 16)
        self.to_rank = nn.Linear(dim, rank, bias=False)
        self.to_step = nn.Linear(rank, dim)
        self.to_state = nn.Linear(dim, c.state, bias=False)  # B
        self.from_state = nn.Linear(dim, c.state, bias=False)  # C
        self.log_decay = nn.Parameter(torch.arange(1, c.state + 1).float().log().repeat(dim, 1))  # log(−A), S4D-Real
        with torch.no_grad():
            self.to_step.bias.copy_(init_step_bias(dim, c))
            nn.init.uniform_(self.to_step.weight, -(rank**-0.5), rank**-0.5)

    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Compute (C, T) of the query and (B, Δ, w Δ, T) of the key, (B, points, state or heads), T in float64."""
        steps = self._steps(key)
        after, before = self.time(query.positions), self.time(key.positions)
        query_sums, key_sums = potentials(steps, after, before, key.weights)
        key_terms = self.to_state(key.values), steps, apply_weights(steps, key.points), key_sums
        return (self.from_state(query.values), query_sums), key_terms

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        (outputs, later), (inputs, steps, _, earlier) = query_terms, key_terms
        passed = later.transpose(1, 2).unsqueeze(-1) - earlier.transpose(1, 2).unsqueeze(-2)  # (B, heads, n, m)
        passed = passed.clamp(min=0).to(outputs.dtype)
        k = torch.zeros_like(passed)
        for rate, output, driving in zip(self.rates.unbind(-1), outputs.unbind(-1), inputs.unbind(-1), strict=True):
            product = output.unsqueeze(-1) * driving.unsqueeze(-2)
            k = k + product.unsqueeze(1) * (rate.view(-1, 1, 1) * passed).exp()
        return k * steps.transpose(1, 2).unsqueeze(-2)

    @property
    def rates(self) -> Tensor:
        """A, (heads, state)."""
        return -self.log_decay.exp()

    @property
    def pair_width(self) -> int:
        """Two exponentials of each state, to be differentiated."""
        return self.heads * (2 * self.config.state + 6)

    def integrate(self, problem: Problem[Terms]) -> Tensor:
        """Compute the selective scan."""
        (outputs, _), (inputs, steps, passed, _) = problem.query_terms, problem.key_terms
        return self._scan(outputs, inputs, passed, steps.unsqueeze(-1) * apply_weights(problem.values, problem.key))

    def can_transform(self, query: Field, key: Field) -> bool:
        """Whether the points are in order, the same on both sides."""
        return in_order(query.points, key.points, self.support)

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor:
        """Compute the integral by the selective scan, without T, which costs as much as the rest."""
        outputs, inputs, steps = self.from_state(query.values), self.to_state(key.values), self._steps(key)
        driven = steps.unsqueeze(-1) * apply_weights(value_map(key.values), key.points)
        return output_map(self._scan(outputs, inputs, apply_weights(steps, key.points), driven))

    def step(self, state: Tensor | None, query: Field, values: Tensor) -> tuple[Tensor, Tensor]:
        """Advance a stream; the state is h, (B, heads, head_dim, state)."""
        (outputs, _), (inputs, steps, passed, _) = self.project(query, query)
        steps, passed = steps.transpose(1, 2).unsqueeze(-1), passed.transpose(1, 2).unsqueeze(-1)  # (B, heads, 1, 1)
        driven = steps * apply_weights(values, query.points).squeeze(1).unsqueeze(-1) * inputs[:, :, None]
        state = driven if state is None else (self.rates.unsqueeze(1) * passed).exp() * state + driven
        return state, (state * outputs[:, :, None]).sum(-1).unsqueeze(1)

    def _steps(self, field: Field) -> Tensor:
        """Compute Δ, (B, M, heads); 0 for padding, over which no time passes."""
        return F.softplus(self.to_step(self.to_rank(field.values))) * (field.weights > 0).unsqueeze(-1)

    def _scan(self, outputs: Tensor, inputs: Tensor, passed: Tensor, driven: Tensor) -> Tensor:
        """Compute the selective scan of w Δ v, (B, T, heads, head_dim), where w Δ is the time that passes."""
        channels = [selective_scan(passed, channel, self.rates, inputs, outputs) for channel in driven.unbind(-1)]
        return torch.stack(channels, dim=-1)
