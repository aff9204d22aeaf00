"""Mamba-2, a state space with one decay for each head."""

from __future__ import annotations

from math import inf
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Field, Problem, ScalarConfig
from itnet_kernels.causal import CausalKernel
from itnet_kernels.numerics.decayed_sums import decayed_sums
from itnet_kernels.numerics.timeline import potentials
from itnet_kernels.numerics.weights import apply_weights
from itnet_kernels.state_space.steps import SteppedConfig, init_step_bias

Terms = tuple[Tensor, ...]


class Mamba2Kernel(CausalKernel[Terms, Tensor]):
    """Mamba-2 (SSD): k_h = C_tᵀ B_s Δ_s e^{L_t − L_s} over the past, with L = Σ A_h Δ.

    Dao & Gu, arXiv 2405.21060, §3 and §6. Δ = softplus(W u + b), one for each head, B and C are functions of the field
    at a point, A_h < 0 is learned. That is the recurrence H_t = e^{A Δ_t} H_{t−1} + Δ_t B_t v_tᵀ, y_t = C_tᵀ H_t. Time
    passes by Δ alone; positions only order the points.

    `integrate` is state-space duality, a sum chunk by chunk, for points in order. Mamba-2's convolution, gate, norm and
    skip surround the integral: see `Mamba2Mixer`.

    Example:
        >>> operator = IntegralOperator(8, Mamba2Kernel(8, heads=2, state=16))
        >>> operator(Field.on_grid(torch.randn(1, 1000, 8), axes="t")).values.shape
        torch.Size([1, 1000, 8])

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    class Config(SteppedConfig, ScalarConfig):
        """Heads, states and steps."""

        heads: PositiveInt = 4
        """Number of scalar kernels, each with its decay."""
        state: PositiveInt = 64
        """States of a head's channel, N."""
        groups: PositiveInt = 1
        """Groups of heads that share B and C; a divisor of `heads`."""
        clamp_min: NonNegativeFloat = 0.0
        """Lower bound of Δ."""
        clamp_max: PositiveFloat | None = None
        """Upper bound of Δ; unbounded by default."""

        @model_validator(mode="after")
        def _groups_are_even(self) -> Mamba2Kernel.Config:
            if self.heads % self.groups:
                raise ValueError(f"heads = {self.heads} to be a multiple of groups = {self.groups}")
            return self

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        c = self.config
        self.heads, self.values = c.heads, c.values
        self.to_step: nn.Module = nn.Linear(dim, c.heads, bias=False)
        self.to_state: nn.Module = nn.Linear(dim, c.groups * c.state, bias=False)  # B
        self.from_state: nn.Module = nn.Linear(dim, c.groups * c.state, bias=False)  # C
        self.step_bias = nn.Parameter(init_step_bias(c.heads, c))
        self.log_decay = nn.Parameter(torch.arange(1, c.heads + 1).float().log())  # log(−A)

    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Compute (C, L) of the query and (B, Δ, L) of the key.

        C and B have the shape (B, points, groups, state), Δ and L (B, points, heads); L is in float64.
        """
        steps = F.softplus(self.to_step(key.values) + self.step_bias)
        steps = steps.clamp(self.config.clamp_min, self.config.clamp_max or inf)
        after, before = self.time(query.positions), self.time(key.positions)
        query_levels, key_levels = potentials(-self.log_decay.exp() * steps, after, before, key.weights)
        outputs, inputs = (
            linear(field.values).unflatten(-1, (self.config.groups, self.config.state))
            for linear, field in ((self.from_state, query), (self.to_state, key))
        )
        return (outputs, query_levels), (inputs, steps, key_levels)

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        (outputs, later), (inputs, steps, earlier) = query_terms, key_terms
        scores = outputs.transpose(1, 2) @ inputs.permute(0, 2, 3, 1)  # (B, groups, n, m)
        fall = later.transpose(1, 2).unsqueeze(-1) - earlier.transpose(1, 2).unsqueeze(-2)
        decay = fall.clamp(max=0).to(scores.dtype).exp() * steps.transpose(1, 2).unsqueeze(-2)
        return scores.repeat_interleave(self.heads // self.config.groups, dim=1) * decay

    @property
    def pair_width(self) -> int:
        """Scores, exponents (in float64) and decays."""
        return 6 * self.heads

    def integrate(self, problem: Problem[Terms]) -> Tensor:
        """Compute the sums chunk by chunk."""
        (outputs, _), (inputs, steps, levels) = problem.query_terms, problem.key_terms
        return decayed_sums(outputs, inputs, steps.unsqueeze(-1) * apply_weights(problem.values, problem.key), levels)

    def step(self, state: Tensor | None, query: Field, values: Tensor) -> tuple[Tensor, Tensor]:
        """Advance a stream; the state is H, (B, heads, state, head_dim)."""
        (outputs, level), (inputs, steps, _) = self.project(query, query)
        outputs, inputs = (
            side.squeeze(1).repeat_interleave(self.heads // self.config.groups, dim=1) for side in (outputs, inputs)
        )
        driven = (steps.unsqueeze(-1) * apply_weights(values, query.points)).transpose(1, 2)  # (B, heads, 1, head_dim)
        memory = inputs.unsqueeze(-1) * driven
        if state is not None:  # the potential of a single point is the logarithm of its decay
            memory = memory + level.exp().to(memory.dtype).transpose(1, 2).unsqueeze(-1) * state
        return memory, (outputs.unsqueeze(-2) @ memory).transpose(1, 2)
