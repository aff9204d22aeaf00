"""Mamba-2's state space, SSD."""

from __future__ import annotations

from math import inf
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Field, Kernel, Measure, Problem, Support
from itnet_kernels.state_space.channelwise import init_log_steps
from itnet_kernels.numerics.decayed_sums import decayed_sums
from itnet_kernels.numerics.timeline import in_order, ordered_alone, potentials
from itnet_kernels.numerics.weights import apply_weights


class Mamba2Kernel(Kernel[Any, Any]):
    """k_h = C_tᵀ B_s Δ_s e^{L_t − L_s} over the past, L = Σ A_h Δ (Dao & Gu, arXiv 2405.21060, §3, §6).

    Δ = softplus(W u + b), one for each head, B and C are functions of the field at a point, A_h < 0 is learned: the
    recurrence H_t = e^{A Δ_t} H_{t−1} + Δ_t B_t v_tᵀ, y_t = C_tᵀ H_t. Time passes by Δ alone; positions say what is
    before what. The shortcut is state-space duality, `chunked.decayed_sums`. Mamba-2's convolution, gate, norm and skip
    are around the integral: see `mixers.Mamba2Mixer`.
    """

    measure: Measure = "counting"
    scans = True

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            heads: scalar kernels, each with its decay.
            state: states of a head's channel, N.
            groups: of heads that share B and C; a divisor of `heads`.
            step_min: Δ at the start is drawn between this and `step_max`, evenly on a logarithmic scale.
            step_max: see `step_min`.
            clamp_min: Δ is never below it.
            clamp_max: Δ is never above it.
            axis: of the positions, that is time.
        """

        heads: PositiveInt = 4
        state: PositiveInt = 64
        groups: PositiveInt = 1
        step_min: PositiveFloat = 1e-3
        step_max: PositiveFloat = 0.1
        clamp_min: NonNegativeFloat = 0.0
        clamp_max: PositiveFloat | None = None
        axis: str | int = "t"

        @model_validator(mode="after")
        def _groups_are_even(self) -> Mamba2Kernel.Config:
            if self.heads % self.groups:
                raise ValueError(f"heads = {self.heads} is no multiple of groups = {self.groups}")
            return self

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Return whether points differ in time alone."""
        return ordered_alone(config.axis, axes)

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.support = c.heads, Support(causal=c.axis)
        self.to_step: nn.Module = nn.Linear(dim, c.heads, bias=False)
        self.to_state: nn.Module = nn.Linear(dim, c.groups * c.state, bias=False)  # B
        self.from_state: nn.Module = nn.Linear(dim, c.groups * c.state, bias=False)  # C
        step = init_log_steps(c.heads, c.step_min, c.step_max).exp()
        self.step_bias = nn.Parameter(step + (-torch.expm1(-step)).log())  # softplus gives `step`
        self.log_decay = nn.Parameter(torch.arange(1, c.heads + 1).float().log())  # log(−A)

    def project(self, query: Field, key: Field) -> tuple[Any, Any]:
        """Return (C, L) of the query and (B, Δ, L) of the key.

        C and B have the shape (B, points, groups, state), Δ and L (B, points, heads); L is in float64.
        """
        steps = F.softplus(self.to_step(key.values) + self.step_bias)
        steps = steps.clamp(self.config.clamp_min, self.config.clamp_max or inf)
        axis = self.support.causal_axis(key.positions.shape[-1])
        after, before = query.positions[..., axis], key.positions[..., axis]
        query_levels, key_levels = potentials(-self.log_decay.exp() * steps, after, before, key.weights)
        outputs, inputs = (
            linear(field.values).unflatten(-1, (self.config.groups, self.config.state))
            for linear, field in ((self.from_state, query), (self.to_state, key))
        )
        return (outputs, query_levels), (inputs, steps, key_levels)

    def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        (outputs, later), (inputs, steps, earlier) = query_terms, key_terms
        scores = outputs.transpose(1, 2) @ inputs.permute(0, 2, 3, 1)  # (B, groups, n, m)
        fall = later.transpose(1, 2).unsqueeze(-1) - earlier.transpose(1, 2).unsqueeze(-2)
        decay = fall.clamp(max=0).to(scores.dtype).exp() * steps.transpose(1, 2).unsqueeze(-2)
        return scores.repeat_interleave(self.heads // self.config.groups, dim=1) * decay

    @property
    def pair_width(self) -> int:
        """A tile holds scores, exponents (in float64) and decays."""
        return 6 * self.heads

    def can_integrate(self, problem: Problem[Any]) -> bool:
        """Whether the points are in order, the same on both sides."""
        return in_order(problem.query, problem.key, self.support)

    def integrate(self, problem: Problem[Any]) -> Tensor:
        """Return the sums chunk by chunk."""
        (outputs, _), (inputs, steps, levels) = problem.query_terms, problem.key_terms
        return decayed_sums(outputs, inputs, steps.unsqueeze(-1) * apply_weights(problem.values, problem.key), levels)

    def step(self, state: Tensor | None, query: Field, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states, (B, heads, state, head_dim), and the integral."""
        (outputs, level), (inputs, steps, _) = self.project(query, query)
        outputs, inputs = (
            side.squeeze(1).repeat_interleave(self.heads // self.config.groups, dim=1) for side in (outputs, inputs)
        )
        driven = (steps.unsqueeze(-1) * apply_weights(values, query.points)).transpose(1, 2)  # (B, heads, 1, head_dim)
        memory = inputs.unsqueeze(-1) * driven
        if state is not None:  # the potential of one point alone is its own logarithm of a decay
            memory = memory + level.exp().to(memory.dtype).transpose(1, 2).unsqueeze(-1) * state
        return memory, (outputs.unsqueeze(-2) @ memory).transpose(1, 2)
