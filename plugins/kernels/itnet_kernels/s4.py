"""S4: a state space with a diagonal plus low-rank matrix for each channel."""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from itnet_core import ComponentConfig, Field, Points
from itnet_kernels.channelwise import ChannelwiseKernel, steps_at_start
from itnet_kernels.fourier import convolved_with_past
from itnet_kernels.weighting import weighted

FREQUENCIES = 1 << 20
"""Entries of the Cauchy matrix that are computed at a time."""


class S4Kernel(ChannelwiseKernel):
    """k_d(l) = Re C_d Ā_d^l B̄_d for a lag of l steps, Ā and B̄ by the bilinear rule (Gu et al., arXiv 2111.00396, §3).

    A = Λ − P P*, diagonal plus low rank, starts as the HiPPO-LegS matrix; Ā = (1 − ΔA/2)⁻¹(1 + ΔA/2) and
    B̄ = (1 − ΔA/2)⁻¹ΔB: the recurrence h ← Ā h + B̄ u, y = Re C h. Times are rounded to steps of one unit after the first
    key. The shortcut, where the points are as many steps apart each, finds k from its generating function at the roots
    of unity, by Woodbury's identity (the paper's Theorem 3), and convolves by FFT. S4's skip D is the operator's
    pointwise map.
    """

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            state: states of a channel, N. They begin with an eigenvalue problem of N × N, so there is a limit.
            unit: the length of time of a step.
            step_min: Δ at the start is drawn between this and `step_max`, evenly on a logarithmic scale.
            step_max: see `step_min`.
            axis: of the positions, that is time.
        """

        state: int = ConfigField(default=64, ge=1, le=512)
        unit: PositiveFloat = 1.0
        step_min: PositiveFloat = 1e-3
        step_max: PositiveFloat = 0.1
        axis: str | int = "t"

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        c = self.configure(config, options)
        super().__init__(dim, c.axis)
        self.config = c
        eigenvalues, low_rank, given = (each.expand(dim, -1) for each in legs(c.state))
        self.log_step = nn.Parameter(steps_at_start(dim, c.step_min, c.step_max))
        self.log_decay = nn.Parameter((-eigenvalues.real).log().float())
        self.frequency = nn.Parameter(eigenvalues.imag.float())
        # P, B and C, as real and imaginary parts
        self.low_rank = nn.Parameter(torch.view_as_real(low_rank).float())
        self.input_weight = nn.Parameter(torch.view_as_real(given).float())
        self.output_weight = nn.Parameter(torch.randn(dim, c.state, 2) * 0.5**0.5)

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return the numbers of steps after the first key, (B, N) and (B, M), whole numbers in float64."""
        query_time, key_time = (self.time(field.positions).double() for field in (query, key))
        whole = key.sampled_from or key  # steps are counted from the same time, whatever a sampler makes of the key
        first = self.time(whole.positions).double().masked_fill(~whole.mask, torch.inf).amin(-1, keepdim=True)
        return self._steps(query_time, first), self._steps(key_time, first)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        lags = (query_terms.unsqueeze(2) - key_terms.unsqueeze(1)).clamp(min=0).long()
        return self._table(int(lags.max()) + 1)[:, lags].transpose(0, 1).to(self.log_step.dtype)

    @property
    def pair_width(self) -> int:
        """A tile holds k, in double precision too, and the lag."""
        return 3 * self.heads + 4

    def integrates(self, query: Points, key: Points) -> bool:
        """Whether the points are in order, the same on both sides, and as many steps apart each."""
        steps = key.terms.diff(dim=-1)
        even = steps.numel() == 0 or bool(((steps == steps[:1, :1]) & (steps > 0)).all())
        return even and super().integrates(query, key)

    def integrate(self, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return the convolution with k."""
        points = key.terms.shape[-1]
        apart = int(key.terms[0, 1] - key.terms[0, 0]) if points > 1 else 1
        profile = self._profile((points - 1) * apart + 1)[:, ::apart]
        return convolved_with_past(profile, weighted(values, key.weights))

    def step(self, state: Any, query: Field, values: Tensor) -> tuple[Any, Tensor]:
        """Return the first time, the steps since, Ā, B̄ and the states, (B, heads, head_dim, N); and the integral."""
        time = self.time(query.positions).double()
        first, before, matrix, given, states = (time, 0 * time, *self._discrete(), None) if state is None else state
        now = self._steps(time, first)
        driven = weighted(values, query.weights).squeeze(1).unsqueeze(-1) * given.unsqueeze(-2)
        if states is not None:
            driven = driven + _advanced(states, matrix, (now - before).long())
        out = (driven * self._complex(self.output_weight).unsqueeze(-2)).sum(-1).real
        return (first, now, matrix, given, driven), out.unsqueeze(1).to(values.dtype)

    def _steps(self, time: Tensor, first: Tensor) -> Tensor:
        return ((time - first) / self.config.unit).round()

    def _complex(self, parts: Tensor) -> Tensor:
        return torch.view_as_complex(parts.double())

    def _discrete(self) -> tuple[Tensor, Tensor]:
        """Return Ā, (heads, N, N), and B̄, (heads, N), in double precision."""
        low_rank, half = self._complex(self.low_rank), self.log_step.double().exp().view(-1, 1, 1) / 2
        eigenvalues = torch.complex(-self.log_decay.double().exp(), self.frequency.double())
        matrix = half * (torch.diag_embed(eigenvalues) - low_rank.unsqueeze(-1) * low_rank.conj().unsqueeze(-2))
        one = torch.eye(self.config.state, dtype=matrix.dtype, device=matrix.device)
        given = 2 * half * self._complex(self.input_weight).unsqueeze(-1)
        solved = torch.linalg.solve(one - matrix, torch.cat([one + matrix, given], dim=-1))
        return solved[..., :-1], solved[..., -1]

    def _table(self, lags: int) -> Tensor:
        """Return k at 0, …, lags − 1, (heads, lags), from Ā^l B̄ and C Ā^{il} by repeated doubling, in float64."""
        power, given = self._discrete()
        columns, rows = given.unsqueeze(-1), self._complex(self.output_weight).unsqueeze(-2)
        width = isqrt(lags - 1) + 1
        while columns.shape[-1] < width:
            columns = torch.cat([columns, power @ columns], dim=-1)
            power = power @ power
        while rows.shape[-2] * columns.shape[-1] < lags:
            rows = torch.cat([rows, rows @ power], dim=-2)
            power = power @ power
        return (rows @ columns).real.flatten(1)[:, :lags]

    def _profile(self, lags: int) -> Tensor:
        """Return k at 0, …, lags − 1, (heads, lags), from its generating function Σ_l k_l ω^l at ω^lags = 1.

        With D = (1 − ω) − cΛ and c = (1 + ω)Δ/2 it is C̃ (D + c P P*)⁻¹ ΔB, C̃ = C (1 − Ā^lags): the paper's formula,
        times what it divides by, so that ω = −1 is no exception.
        """
        output = self._complex(self.output_weight)
        last = torch.linalg.matrix_power(self._discrete()[0], lags)
        output = output - (output.unsqueeze(-2) @ last).squeeze(-2)
        step = self.log_step.double().exp().unsqueeze(-1)
        eigenvalues = torch.complex(-self.log_decay.double().exp(), self.frequency.double())
        low_rank, given = self._complex(self.low_rank), step * self._complex(self.input_weight)
        pairs = torch.stack(
            [output * given, output * low_rank, low_rank.conj() * given, low_rank.conj() * low_rank], dim=1
        )
        angles = -2 * torch.pi * torch.arange(lags, device=step.device, dtype=step.dtype) / lags
        parts = []
        for some in torch.split(angles, max(1, FREQUENCIES // eigenvalues.numel())):
            parts.append(checkpoint(_generated, eigenvalues, pairs, step, some, use_reentrant=False))
        return torch.fft.ifft(torch.cat(parts, dim=-1)).real


def _generated(eigenvalues: Tensor, pairs: Tensor, step: Tensor, angles: Tensor) -> Tensor:
    """Return the generating function at e^{i·angle}, (heads, angles); pairs are the products of CB, CP, P*B and P*P."""
    root = torch.polar(torch.ones_like(angles), angles)
    half = step / 2 * (1 + root)  # c, (heads, angles)
    cauchy = 1 / ((1 - root) - half.unsqueeze(-2) * eigenvalues.unsqueeze(-1))  # (heads, N, angles)
    both, left, right, middle = (pairs @ cauchy).unbind(1)
    return both - half * left * right / (1 + half * middle)


def _advanced(states: Tensor, matrix: Tensor, steps: Tensor) -> Tensor:
    """Return Ā^steps h for states (B, heads, head_dim, N) and a number of steps for each sample, (B, 1)."""
    remaining = steps.view(-1, 1, 1, 1)
    while bool((remaining > 0).any()):
        further = (matrix.unsqueeze(1) @ states.unsqueeze(-1)).squeeze(-1)
        states = torch.where(remaining % 2 == 1, further, states)
        matrix, remaining = matrix @ matrix if bool((remaining > 1).any()) else matrix, remaining // 2
    return states


def legs(state: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return Λ, P and B of the HiPPO-LegS matrix Λ − P P* in the basis that makes it so, (state,) each, complex.

    The matrix plus P Pᵀ is −1/2 plus a skew-symmetric one, which a unitary matrix diagonalises (arXiv 2111.00396, C.2).
    """
    odd = (2 * torch.arange(state, dtype=torch.float64) + 1).sqrt()
    skew = 0.5 * (odd.unsqueeze(-1) * odd).triu(1)
    skew = skew - skew.T
    frequencies, basis = torch.linalg.eigh(-1j * skew)
    low_rank, given = ((basis.mH @ each.to(basis.dtype)) for each in (odd / 2**0.5, odd))
    return torch.complex(torch.full_like(frequencies, -0.5), frequencies), low_rank, given
