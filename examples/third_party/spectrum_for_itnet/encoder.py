"""Encoder of signals as short-time spectra."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Encoder, Field, ShapeError


class SpectrumEncoder(Encoder):
    """Encode a signal s as u(t) = W log(1 + |∫ s(r) w(r − t) e^{−2πi f (r − t)} dr|).

    Here f = 0, 1, … is a number of cycles per window, and w is the Hann window, two cells wide. A signal covers t in
    [−1, 1] whatever its number of samples: more samples are a finer quadrature of the same integral.

    Example:
        >>> SpectrumEncoder(32)(torch.randn(2, 1000)).values.shape
        torch.Size([2, 16, 32])
    """

    modality = "signal"
    axes = "t"

    class Config(ComponentConfig):
        """Options of the encoder."""

        frames: PositiveInt = 16
        """Points of the field."""
        bands: PositiveInt = 12
        """Frequencies, from 0 cycles per window upwards."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(self.config.bands, dim)

    def forward(self, inputs: Tensor) -> Field:
        """Return a field of one point per window.

        Args:
            inputs: floating signals of shape (B, samples).

        Raises:
            ShapeError: the shape or dtype is another, or the highest frequency needs more samples.
        """
        least = self.config.frames * self.config.bands
        if inputs.ndim != 2 or not inputs.is_floating_point() or inputs.shape[1] < least:
            raise ShapeError(
                "SpectrumEncoder(inputs)",
                found=f"{inputs.dtype} of shape {tuple(inputs.shape)}",
                expected=f"floating signals of shape (B, samples), frames x bands = {least} samples or more",
            )
        signals = inputs.to(self.linear.weight.dtype)
        real, imaginary = (torch.einsum("bs,sfk->bfk", signals, part) for part in self._analysis(signals))
        magnitude = (real.square() + imaginary.square() + 1e-12).sqrt()
        return Field.on_grid(self.linear(magnitude.log1p()), axes="t")

    def _analysis(self, signals: Tensor) -> tuple[Tensor, Tensor]:
        """Return w(r − t) cos 2πf(r − t) dr and w(r − t) sin 2πf(r − t) dr, each of shape (samples, frames, bands)."""

        def count(n: int) -> Tensor:
            return torch.arange(n, dtype=signals.dtype, device=signals.device)

        samples, frames = signals.shape[1], self.config.frames
        lag = (count(samples)[:, None] + 0.5) / samples - (count(frames) + 0.5) / frames
        cycles = lag * frames / 2  # −½ to ½ within a window
        window = (pi * cycles).cos().square() * (cycles.abs() < 0.5) * frames / samples
        phase = 2 * pi * cycles.unsqueeze(-1) * count(self.config.bands)
        return window.unsqueeze(-1) * phase.cos(), window.unsqueeze(-1) * phase.sin()

    def example(self) -> Tensor:
        """Return two signals of noise."""
        return torch.randn(2, self.config.frames * self.config.bands)
