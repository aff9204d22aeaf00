from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from itnet_image.encoders.resample import resample


@settings(deadline=None, max_examples=40)
@given(length=st.integers(1, 20), pixel=st.floats(0.1, 5.0))
def test_the_integral_is_kept_at_any_ratio(length: int, pixel: float) -> None:
    image = torch.randn(2, 1, length, length, dtype=torch.float64)
    count = int(length / pixel) + 2  # reaches over the edge
    resampled = resample(image, (count, count), pixel)
    torch.testing.assert_close(resampled.sum((-1, -2)) * pixel**2, image.sum((-1, -2)))


def test_whole_ratios_are_means_and_copies() -> None:
    image = torch.randn(1, 3, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(resample(image, (3, 4), 2), F.avg_pool2d(image, 2))
    copied = image.repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(resample(image, (12, 16), 0.5), copied)


def test_beyond_the_edge_it_is_dark() -> None:
    resampled = resample(torch.ones(1, 1, 3, 3), (2, 4), 2)
    torch.testing.assert_close(resampled[0, 0], torch.tensor([[1, 0.5, 0, 0], [0.5, 0.25, 0, 0]]))
