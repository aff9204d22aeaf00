"""Random augmentation of training series."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_series.data.time_series import TimeSeries

KNOTS = 4
"""Independent rates of a warped series."""


@dataclass(frozen=True)
class SeriesAugmentation:
    """Random changes of a series, drawn from torch's generator.

    Times are inputs of the model, so warping moves the steps and does not resample their values.

    Example:
        >>> series = TimeSeries(torch.randn(20, 1), torch.arange(20.0), "here")
        >>> augment = SeriesAugmentation(torch.zeros(1), torch.ones(1), jitter=0.1, warp=0.2, crop=0.5)
        >>> 10 <= len(augment(series).times) <= 20
        True

    Attributes:
        mean: of each channel, shape (c,).
        std: standard deviation of each channel, shape (c,).
        jitter: standard deviation of noise, in units of `std`.
        magnitude: standard deviation of the logarithm of a factor on the distance of each channel from `mean`.
        warp: standard deviation of the logarithm of the rate at which time passes, which varies along a series.
        crop: smallest share of consecutive steps to keep.
    """

    mean: Tensor
    std: Tensor
    jitter: float = 0.0
    magnitude: float = 0.0
    warp: float = 0.0
    crop: float = 1.0

    def __call__(self, series: TimeSeries) -> TimeSeries:
        """Return a changed series."""
        count = len(series.times)
        if self.crop < 1:
            length = count - int(torch.rand(()) * (count - max(1, round(self.crop * count)) + 1))
            start = int(torch.rand(()) * (count - length + 1))
            series = series.part(start, start + length)
        values, times = series.values, series.times
        if self.magnitude:
            values = self.mean + (values - self.mean) * torch.exp(self.magnitude * torch.randn(values.shape[1]))
        if self.jitter:
            values = values + self.jitter * self.std * torch.randn_like(values)
        if self.warp and len(times) > 1:
            rates = torch.exp(self.warp * torch.randn(1, 1, KNOTS))
            rates = F.interpolate(rates, len(times) - 1, mode="linear", align_corners=True).flatten()
            times = torch.cat([times[:1], times[0] + (times.diff() * rates).cumsum(0)])
        return series._replace(values=values, times=times)
