"""Signals as fields of short-time spectra."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Encoder, Field, ShapeError


class SpectrumEncoder(Encoder):
    """u(t) = W log(1 + |∫ s(r) w(r − t) e^{−2πi f (r − t)} dr|), f = 0, 1, … cycles a window; w is Hann's.

    A signal covers t in [−1, 1], whatever its number of samples: more of them are a finer quadrature of the same
    integral. Windows are two cells wide, so that each overlaps half of its neighbours.
    """

    modality = "signal"
    axes = "t"

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            frames: points of the field.
            bands: frequencies, from 0 cycles a window up.
        """

        frames: PositiveInt = 16
        bands: PositiveInt = 12

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(self.config.bands, dim)

    def forward(self, inputs: Tensor) -> Field:
        """Return the field of the windows.

        Args:
            inputs: signals, floating, of shape (B, samples).

        Raises:
            ShapeError: it is something else, or there are too few samples for the highest frequency.
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
        """Return w(r − t) cos 2πf(r − t) dr and the same with sin, each of shape (samples, frames, bands)."""

        def count(n: int) -> Tensor:
            return torch.arange(n, dtype=signals.dtype, device=signals.device)

        samples, frames = signals.shape[1], self.config.frames
        lag = (count(samples)[:, None] + 0.5) / samples - (count(frames) + 0.5) / frames
        cycles = lag * frames / 2  # within a window: −½ to ½
        window = (pi * cycles).cos().square() * (cycles.abs() < 0.5) * frames / samples
        phase = 2 * pi * cycles.unsqueeze(-1) * count(self.config.bands)
        return window.unsqueeze(-1) * phase.cos(), window.unsqueeze(-1) * phase.sin()

    def example(self) -> Tensor:
        """Return two signals of noise."""
        return torch.randn(2, self.config.frames * self.config.bands)
