"""S4D: a diagonal state space for each channel."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat
from torch import Tensor, nn

from itnet_core import ComponentConfig, Field, Points
from itnet_core.operator.transforms import differentiated
from itnet_kernels.channelwise import ChannelwiseKernel, steps_at_start
from itnet_kernels.diagonal import exponential_sums
from itnet_kernels.scan import scan
from itnet_kernels.timeline import equidistant
from itnet_kernels.weighting import weighted


class S4DKernel(ChannelwiseKernel):
    """k_d(t − s) = 2 Re Σ_n C_dn (e^{Δ_d A_dn} − 1) / A_dn · e^{Δ_d A_dn (t − s)} (Gu et al., arXiv 2206.11893, §3.2).

    Times are in units: at steps of one unit it is S4D under zero-order hold, h ← e^{ΔA} h + (e^{ΔA} − 1)/A u. The sum
    runs over half of the states, which stand for conjugate pairs. The shortcut is a sum chunk by chunk where times are
    equidistant, else a scan; S4D's skip D is the operator's pointwise map.
    """

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            state: states of a channel, N: half as many conjugate pairs.
            unit: the length of time of a step Δ.
            step_min: Δ at the start is drawn between this and `step_max`, evenly on a logarithmic scale.
            step_max: see `step_min`.
            axis: of the positions, that is time.
        """

        state: int = ConfigField(default=64, ge=2, multiple_of=2)
        unit: PositiveFloat = 1.0
        step_min: PositiveFloat = 1e-3
        step_max: PositiveFloat = 0.1
        axis: str | int = "t"

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        c = self.configure(config, options)
        super().__init__(dim, c.axis)
        self.config = c
        modes = c.state // 2
        self.log_step = nn.Parameter(steps_at_start(dim, c.step_min, c.step_max))
        # S4D-Lin, A_n = −1/2 + iπn
        self.log_decay = nn.Parameter(torch.full((dim, modes), 0.5).log())
        self.frequency = nn.Parameter(pi * torch.arange(modes).float().repeat(dim, 1))
        self.output_weight = nn.Parameter(torch.randn(dim, modes, 2) * 0.5**0.5)  # C, as real and imaginary parts

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return the times of both, (B, N) and (B, M), in units, in float64."""
        query_time, key_time = (self.time(field.positions).double() / self.config.unit for field in (query, key))
        return query_time, key_time

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        rates, residues = self._modes()
        lags = (query_terms.unsqueeze(2) - key_terms.unsqueeze(1)).clamp(min=0).unsqueeze(1)
        k = lags.new_zeros(1)
        for rate, residue in zip(rates.T, residues.T, strict=True):
            rate, residue = rate.view(-1, 1, 1), residue.view(-1, 1, 1)
            k = k + (residue * (rate * lags).exp()).real
        return k.to(self.log_step.dtype)

    @property
    def pair_width(self) -> int:
        """A tile holds a complex exponential in double precision for each mode, to differentiate it."""
        return self.heads * (2 * self.config.state + 8)

    def integrate(self, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the convolution with k chunk by chunk, or scan where steps of time differ."""
        values, time = weighted(values, key.weights), key.terms
        rates, residues = self._modes()
        if equidistant(self.time(key.positions)) and not differentiated(time):
            step = (time[0, -1] - time[0, 0]) / max(time.shape[1] - 1, 1)
            return exponential_sums(rates * step, residues, values)
        steps = time.diff(dim=-1, prepend=time[:, :1])
        dtype = torch.promote_types(values.dtype, torch.complex64)
        factors = (rates * steps[..., None, None]).exp().to(dtype).unsqueeze(-2)  # (B, T, heads, 1, modes)
        states = scan(factors, values.unsqueeze(-1).to(dtype))
        return (states * residues.to(dtype).unsqueeze(1)).sum(-1).real.to(values.dtype)

    def step(self, state: tuple[Tensor, Tensor] | None, query: Field, values: Tensor) -> tuple[Any, Tensor]:
        """Return the time and the states, (B, heads, head_dim, modes), and the integral."""
        rates, residues = self._modes()
        time = self.time(query.positions).double() / self.config.unit
        states = weighted(values, query.weights).squeeze(1).unsqueeze(-1).to(rates.dtype)
        if state is not None:
            steps = (time - state[0]).clamp(min=0).unsqueeze(-1)
            states = states + (rates * steps).exp().unsqueeze(-2) * state[1]
        out = (states * residues.unsqueeze(1)).sum(-1).real
        return (time, states), out.unsqueeze(1).to(values.dtype)

    def _modes(self) -> tuple[Tensor, Tensor]:
        """Return Δ A and 2 C (e^{ΔA} − 1) / A, both of shape (heads, modes), complex in double precision."""
        real, imaginary = -self.log_decay.double().exp(), self.frequency.double()
        rates = torch.complex(real, imaginary)
        steps = rates * self.log_step.double().exp().unsqueeze(-1)
        return steps, 2 * torch.view_as_complex(self.output_weight.double()) * (steps.exp() - 1) / rates
