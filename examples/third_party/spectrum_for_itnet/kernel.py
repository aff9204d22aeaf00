"""Kernel with a learned Fourier series in time."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Field, Kernel, Normalization, Support

Terms = tuple[Tensor, Tensor]


class HarmonicKernel(Kernel):
    """k_h(t, s) = exp(−(t−s)² / 2ℓ_h²) Σ_f a_hf cos πf(t−s) + b_hf sin πf(t−s), f = 0, 1, …; ℓ, a and b are learned.

    By the addition theorems the sum is an inner product of a vector for t and a vector for s. `project` computes these
    once per point, and a tile is one matrix product.
    """

    class Config(ComponentConfig):
        """Options of the kernel."""

        heads: PositiveInt = 4
        """Number of scalar kernels."""
        frequencies: PositiveInt = 8
        """Terms of the series; the f-th has f periods in a length of 2."""
        length: PositiveFloat = 0.5
        """Initial length of the Gaussian."""
        normalization: Normalization = "none"
        """Normalisation of the integral, `none` or `softmax`."""
        support: Support = Support()
        """Pairs of points over which the integral runs."""

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Whether k depends on positions along these axes; it reads time alone."""
        return axes == "t"

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.normalization, self.support = c.heads, c.normalization, c.support
        self.cosine = nn.Parameter(torch.randn(c.heads, c.frequencies) / c.frequencies**0.5)
        self.sine = nn.Parameter(torch.randn(c.heads, c.frequencies) / c.frequencies**0.5)
        self.log_length = nn.Parameter(torch.full((c.heads, 1, 1), c.length).log())

    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Return times, (B, N) and (B, M), and waves, (B, N, heads, 2·frequencies) and (B, M, 2·frequencies)."""
        query_time, key_time = (field.positions[..., 0].to(self.cosine.dtype) for field in (query, key))
        (cos, sin), key_waves = (self._waves(time) for time in (query_time, key_time))
        cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
        mixed = torch.cat([self.cosine * cos + self.sine * sin, self.cosine * sin - self.sine * cos], dim=-1)
        return (query_time, mixed), (key_time, torch.cat(key_waves, dim=-1))

    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        (query_time, mixed), (key_time, waves) = query_terms, key_terms
        squares = (query_time.unsqueeze(2) - key_time.unsqueeze(1)).square().unsqueeze(1)
        series = torch.einsum("bnhf,bmf->bhnm", mixed, waves)
        return series * (-squares / (2 * (2 * self.log_length).exp())).exp()

    def _waves(self, time: Tensor) -> Terms:
        phase = pi * time.unsqueeze(-1) * torch.arange(self.config.frequencies, dtype=time.dtype, device=time.device)
        return phase.cos(), phase.sin()
