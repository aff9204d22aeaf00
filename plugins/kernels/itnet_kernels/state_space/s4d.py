"""S4D, a diagonal state space for each channel."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat
from torch import Tensor, nn

from itnet_core import ComponentConfig, Field, Problem, differentiated
from itnet_kernels.numerics.exponential_sums import exponential_sums
from itnet_kernels.numerics.scan import scan
from itnet_kernels.numerics.timeline import is_equidistant
from itnet_kernels.numerics.weights import apply_weights
from itnet_kernels.state_space.channelwise import ChannelwiseKernel
from itnet_kernels.state_space.steps import SteppedConfig, init_log_steps


class S4DKernel(ChannelwiseKernel[Tensor, tuple[Tensor, Tensor]]):
    """S4D: k_d(t − s) = 2 Re Σ_n C_dn (e^{Δ_d A_dn} − 1) / A_dn · e^{Δ_d A_dn (t − s)} over the past.

    Gu et al., arXiv 2206.11893, §3.2. Times are in units: at steps of one unit this is S4D under zero-order hold,
    h ← e^{ΔA} h + (e^{ΔA} − 1)/A u. The sum runs over half of the states, which stand for conjugate pairs.

    `integrate` applies to points in order: at equal steps it is a sum chunk by chunk, else a scan. S4D's skip D is the
    operator's pointwise map.

    Example:
        >>> operator = IntegralOperator(8, S4DKernel(8, state=16))
        >>> operator(Field.on_grid(torch.randn(1, 1000, 8), axes="t")).values.shape
        torch.Size([1, 1000, 8])

    Args:
        dim: channels of the fields, and heads.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    class Config(SteppedConfig):
        """States and time."""

        state: int = ConfigField(default=64, ge=2, multiple_of=2)
        """States of a channel, N: half as many conjugate pairs."""
        unit: PositiveFloat = 1.0
        """Length of time of a step Δ."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        c = self.config
        modes = c.state // 2
        self.log_step = nn.Parameter(init_log_steps(dim, c))
        # S4D-Lin, A_n = −1/2 + iπn
        self.log_decay = nn.Parameter(torch.full((dim, modes), 0.5).log())
        self.frequency = nn.Parameter(pi * torch.arange(modes).float().repeat(dim, 1))
        self.output_weight = nn.Parameter(torch.randn(dim, modes, 2) * 0.5**0.5)  # C: real and imaginary parts

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Compute the times of both, (B, N) and (B, M), in units, in float64."""
        query_time, key_time = (self.time(field.positions).double() / self.config.unit for field in (query, key))
        return query_time, key_time

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        rates, residues = self._modes()
        lags = (query_terms.unsqueeze(2) - key_terms.unsqueeze(1)).clamp(min=0).unsqueeze(1)
        k = lags.new_zeros(1)
        parts = [part.T.unsqueeze(-1).unsqueeze(-1) for part in (rates.real, rates.imag, residues.real, residues.imag)]
        for decay, frequency, real, imaginary in zip(*parts, strict=True):  # in real numbers, for ONNX
            phase = frequency * lags
            k = k + (decay * lags).exp() * (real * phase.cos() - imaginary * phase.sin())
        return k.to(self.log_step.dtype)

    @property
    def pair_width(self) -> int:
        """Five numbers in double precision for each mode, to be differentiated."""
        return self.heads * (5 * self.config.state + 8)

    def integrate(self, problem: Problem[Tensor]) -> Tensor:
        """Compute the convolution with k chunk by chunk, or by a scan where the steps of time differ."""
        values, time = apply_weights(problem.values, problem.key), problem.key_terms
        rates, residues = self._modes()
        if is_equidistant(self.time(problem.key.positions)) and not differentiated(time):
            step = (time[0, -1] - time[0, 0]) / max(time.shape[1] - 1, 1)
            return exponential_sums(rates * step, residues, values)
        steps = time.diff(dim=-1, prepend=time[:, :1])
        dtype = torch.promote_types(values.dtype, torch.complex64)
        factors = (rates * steps[..., None, None]).exp().to(dtype).unsqueeze(-2)  # (B, T, heads, 1, modes)
        states = scan(factors, values.unsqueeze(-1).to(dtype))
        return (states * residues.to(dtype).unsqueeze(1)).sum(-1).real.to(values.dtype)

    def step(
        self, state: tuple[Tensor, Tensor] | None, query: Field, values: Tensor
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Advance a stream; the state is the time, (B, 1), and the modes' states, (B, heads, head_dim, modes)."""
        rates, residues = self._modes()
        time = self.time(query.positions).double() / self.config.unit
        states = apply_weights(values, query.points).squeeze(1).unsqueeze(-1).to(rates.dtype)
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
        return steps, 2 * torch.view_as_complex(self.output_weight.double()) * (_exp(steps) - 1) / rates


def _exp(z: Tensor) -> Tensor:
    """Compute e^z; while exporting by real functions, because ONNX has no complex exponential."""
    if not torch.compiler.is_exporting():
        return z.exp()
    size = z.real.exp()
    return torch.complex(size * z.imag.cos(), size * z.imag.sin())
