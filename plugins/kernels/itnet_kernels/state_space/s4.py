"""S4, a state space with a diagonal plus low-rank matrix for each channel."""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from itnet_core import ComponentConfig, ConfigError, Field, Problem
from itnet_kernels.numerics.causal_convolution import causal_convolution
from itnet_kernels.numerics.weights import apply_weights
from itnet_kernels.state_space.channelwise import ChannelwiseKernel
from itnet_kernels.state_space.steps import SteppedConfig, init_log_steps

FREQUENCIES = 1 << 20
"""Entries of the Cauchy matrix in one block."""


class S4Kernel(ChannelwiseKernel[Tensor, tuple[Any, ...]]):
    """S4: k_d(l) = Re C_d Ā_d^l B̄_d for a lag of l steps, Ā and B̄ by the bilinear rule.

    Gu et al., arXiv 2111.00396, §3. A = Λ − P P*, diagonal plus low rank, starts as the HiPPO-LegS matrix;
    Ā = (1 − ΔA/2)⁻¹(1 + ΔA/2) and B̄ = (1 − ΔA/2)⁻¹ΔB. That is the recurrence h ← Ā h + B̄ u, y = Re C h. Times are
    rounded to steps of one unit after the first key.

    `integrate` applies to points in order and equally many steps apart: it computes k from its generating function at
    the roots of unity, by Woodbury's identity (Theorem 3 of the paper), and convolves by FFT. S4's skip D is the
    operator's pointwise map.

    Example:
        >>> field = Field.on_grid(torch.randn(1, 100, 8), axes="t", bounds=[(0, 100)])
        >>> IntegralOperator(8, S4Kernel(8, state=16))(field).values.shape
        torch.Size([1, 100, 8])

    Args:
        dim: channels of the fields, and heads.
        config: an instance of `Config`; its fields may also be given as keyword arguments.
    """

    class Config(SteppedConfig):
        """States and time."""

        state: int = ConfigField(default=64, ge=1, le=512)
        """States of a channel, N. Their initial values solve an eigenvalue problem of order N, hence the limit."""
        unit: PositiveFloat = 1.0
        """Length of time of a step."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        c = self.config
        eigenvalues, low_rank, driving = (tensor.expand(dim, -1) for tensor in hippo_legs(c.state))
        self.log_step = nn.Parameter(init_log_steps(dim, c))
        self.log_decay = nn.Parameter((-eigenvalues.real).log().float())
        self.frequency = nn.Parameter(eigenvalues.imag.float())
        # P, B and C: real and imaginary parts
        self.low_rank = nn.Parameter(torch.view_as_real(low_rank).float())
        self.input_weight = nn.Parameter(torch.view_as_real(driving).float())
        self.output_weight = nn.Parameter(torch.randn(dim, c.state, 2) * 0.5**0.5)

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Compute the steps after the first key, (B, N) and (B, M), whole numbers in float64."""
        query_time, key_time = (self.time(field.positions).double() for field in (query, key))
        origin = key.sampled_from or key  # a sampler does not change the time that steps are counted from
        first = self.time(origin.positions).double().masked_fill(~origin.mask, torch.inf).amin(-1, keepdim=True)
        return self._steps(query_time, first), self._steps(key_time, first)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Compute k, shape (B, heads, n, m).

        Raises:
            ConfigError: `torch.export` runs, whose graphs cannot have a table of k up to the largest lag.
        """
        if torch.compiler.is_exporting():
            expected = "a kernel whose sizes do not depend on positions"
            hint = "Other state spaces, such as 's4d' and 'mamba2', can be exported."
            raise ConfigError("S4Kernel", found="torch.export", expected=expected, hint=hint)
        lags = (query_terms.unsqueeze(2) - key_terms.unsqueeze(1)).clamp(min=0).long()
        return self._table(int(lags.max()) + 1)[:, lags].transpose(0, 1).to(self.log_step.dtype)

    @property
    def pair_width(self) -> int:
        """k, in double precision too, and the lag."""
        return 3 * self.heads + 4

    def can_integrate(self, problem: Problem[Tensor]) -> bool:
        """Whether the points are in order, the same on both sides, and equally many steps apart."""
        steps = problem.key_terms.diff(dim=-1)
        even = steps.numel() == 0 or bool(((steps == steps[:1, :1]) & (steps > 0)).all())
        return even and super().can_integrate(problem)

    def integrate(self, problem: Problem[Tensor]) -> Tensor:
        """Compute the convolution with k."""
        points = problem.key_terms.shape[-1]
        apart = int(problem.key_terms[0, 1] - problem.key_terms[0, 0]) if points > 1 else 1
        profile = self._profile((points - 1) * apart + 1)[:, ::apart]
        return causal_convolution(profile, apply_weights(problem.values, problem.key))

    def step(self, state: tuple[Any, ...] | None, query: Field, values: Tensor) -> tuple[tuple[Any, ...], Tensor]:
        """Advance a stream; the state is the first time, the steps since, Ā, B̄ and h, (B, heads, head_dim, N)."""
        time = self.time(query.positions).double()
        first, before, matrix, driving, states = (time, 0 * time, *self._discretize(), None) if state is None else state
        now = self._steps(time, first)
        driven = apply_weights(values, query.points).squeeze(1).unsqueeze(-1) * driving.unsqueeze(-2)
        if states is not None:
            driven = driven + _advance(states, matrix, (now - before).long())
        out = (driven * self._complex(self.output_weight).unsqueeze(-2)).sum(-1).real
        return (first, now, matrix, driving, driven), out.unsqueeze(1).to(values.dtype)

    def _steps(self, time: Tensor, first: Tensor) -> Tensor:
        return ((time - first) / self.config.unit).round()

    def _complex(self, parts: Tensor) -> Tensor:
        return torch.view_as_complex(parts.double())

    def _discretize(self) -> tuple[Tensor, Tensor]:
        """Return Ā, (heads, N, N), and B̄, (heads, N), in double precision."""
        low_rank, half = self._complex(self.low_rank), self.log_step.double().exp().view(-1, 1, 1) / 2
        eigenvalues = torch.complex(-self.log_decay.double().exp(), self.frequency.double())
        matrix = half * (torch.diag_embed(eigenvalues) - low_rank.unsqueeze(-1) * low_rank.conj().unsqueeze(-2))
        identity = torch.eye(self.config.state, dtype=matrix.dtype, device=matrix.device)
        driving = 2 * half * self._complex(self.input_weight).unsqueeze(-1)
        solved = torch.linalg.solve(identity - matrix, torch.cat([identity + matrix, driving], dim=-1))
        return solved[..., :-1], solved[..., -1]

    def _table(self, lags: int) -> Tensor:
        """Compute k at 0, …, lags − 1, (heads, lags), from Ā^l B̄ and C Ā^{il} by repeated doubling, in float64."""
        power, driving = self._discretize()
        columns, rows = driving.unsqueeze(-1), self._complex(self.output_weight).unsqueeze(-2)
        width = isqrt(lags - 1) + 1
        while columns.shape[-1] < width:
            columns = torch.cat([columns, power @ columns], dim=-1)
            power = power @ power
        while rows.shape[-2] * columns.shape[-1] < lags:
            rows = torch.cat([rows, rows @ power], dim=-2)
            power = power @ power
        return (rows @ columns).real.flatten(1)[:, :lags]

    def _profile(self, lags: int) -> Tensor:
        """Compute k at 0, …, lags − 1, (heads, lags), from its generating function Σ_l k_l ω^l at ω^lags = 1.

        With D = (1 − ω) − cΛ and c = (1 + ω)Δ/2 it is C̃ (D + c P P*)⁻¹ ΔB, C̃ = C (1 − Ā^lags): the paper's formula,
        multiplied by its denominator, so that ω = −1 needs no special case.
        """
        output = self._complex(self.output_weight)
        last = torch.linalg.matrix_power(self._discretize()[0], lags)
        output = output - (output.unsqueeze(-2) @ last).squeeze(-2)
        step = self.log_step.double().exp().unsqueeze(-1)
        eigenvalues = torch.complex(-self.log_decay.double().exp(), self.frequency.double())
        low_rank, driving = self._complex(self.low_rank), step * self._complex(self.input_weight)
        pairs = torch.stack(
            [output * driving, output * low_rank, low_rank.conj() * driving, low_rank.conj() * low_rank], dim=1
        )
        angles = -2 * torch.pi * torch.arange(lags, device=step.device, dtype=step.dtype) / lags
        blocks = torch.split(angles, max(1, FREQUENCIES // eigenvalues.numel()))
        parts = [
            checkpoint(_generating_function, eigenvalues, pairs, step, block, use_reentrant=False) for block in blocks
        ]
        return torch.fft.ifft(torch.cat(parts, dim=-1)).real


def _generating_function(eigenvalues: Tensor, pairs: Tensor, step: Tensor, angles: Tensor) -> Tensor:
    """Compute the generating function at e^{i·angle}, (heads, angles); pairs are the products CB, CP, P*B and P*P."""
    root = torch.polar(torch.ones_like(angles), angles)
    half = step / 2 * (1 + root)  # c, (heads, angles)
    cauchy = 1 / ((1 - root) - half.unsqueeze(-2) * eigenvalues.unsqueeze(-1))  # (heads, N, angles)
    both, left, right, middle = (pairs @ cauchy).unbind(1)
    return both - half * left * right / (1 + half * middle)


def _advance(states: Tensor, matrix: Tensor, steps: Tensor) -> Tensor:
    """Compute Ā^steps h for states (B, heads, head_dim, N) and the steps of each sample, (B, 1)."""
    remaining = steps.view(-1, 1, 1, 1)
    while bool((remaining > 0).any()):
        further = (matrix.unsqueeze(1) @ states.unsqueeze(-1)).squeeze(-1)
        states = torch.where(remaining % 2 == 1, further, states)
        matrix, remaining = matrix @ matrix if bool((remaining > 1).any()) else matrix, remaining // 2
    return states


def hippo_legs(state: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return Λ, P and B of the HiPPO-LegS matrix Λ − P P*, in the basis of its normal part, (state,) each, complex.

    The matrix plus P Pᵀ is −1/2 plus a skew-symmetric one, which a unitary matrix diagonalises (Gu et al.,
    arXiv 2111.00396, C.2).
    """
    odd = (2 * torch.arange(state, dtype=torch.float64) + 1).sqrt()
    skew = 0.5 * (odd.unsqueeze(-1) * odd).triu(1)
    skew = skew - skew.T
    frequencies, basis = torch.linalg.eigh(-1j * skew)
    low_rank, driving = ((basis.mH @ vector.to(basis.dtype)) for vector in (odd / 2**0.5, odd))
    return torch.complex(torch.full_like(frequencies, -0.5), frequencies), low_rank, driving
