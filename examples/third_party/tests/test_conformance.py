"""The encoder and the kernel pass the conformance kit and equal their formulas."""

from math import pi

import torch
from spectrum_for_itnet.encoder import SpectrumEncoder
from spectrum_for_itnet.kernel import HarmonicKernel
from torch import Tensor

from itnet_core import Field
from itnet_testing import EncoderConformance, KernelConformance


class TestSpectrum(EncoderConformance):
    component = "spectrum-for-itnet/spectrum"

    def refined(self, times: int) -> Tensor:
        return tone(3.0, samples=192 * times)


class TestHarmonic(KernelConformance):
    component = "spectrum-for-itnet/harmonic"


def tone(cycles: float, samples: int) -> Tensor:
    """Return a cosine of `cycles` per window over [−1, 1], in 16 frames."""
    return torch.cos(2 * pi * cycles * (torch.arange(samples) + 0.5) / samples * 8).unsqueeze(0)


def test_the_spectrum_of_a_tone_peaks_at_its_frequency() -> None:
    encoder = SpectrumEncoder(12)
    torch.nn.init.eye_(encoder.linear.weight)
    torch.nn.init.zeros_(encoder.linear.bias)
    spectra = encoder(tone(5.0, samples=1000)).values[0, 1:-1]
    assert (spectra.argmax(-1) == 5).all()


def test_the_kernel_is_its_formula() -> None:
    kernel = HarmonicKernel(8, heads=2, frequencies=3)
    field = Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))
    k = kernel.tile(*kernel.project(field, field))[0]
    t = field.positions[0, :, 0]
    lag, f = (t[:, None] - t)[..., None], torch.arange(3)
    for head in range(2):
        series = kernel.cosine[head] * (pi * f * lag).cos() + kernel.sine[head] * (pi * f * lag).sin()
        expected = series.sum(-1) * (-(lag[..., 0] ** 2) / (2 * 0.5**2)).exp()
        torch.testing.assert_close(k[head], expected)
