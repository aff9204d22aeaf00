from __future__ import annotations

from typing import Any

import pytest
import torch

from itnet_series.data.augmentation import SeriesAugmentation
from itnet_series.data.time_series import TimeSeries

MEAN, STD = torch.tensor([1.0, -2.0]), torch.tensor([2.0, 0.5])
SERIES = TimeSeries(MEAN + STD * torch.randn(200, 2), torch.arange(200.0), "here", "label")


def drawn(count: int = 30, **options: Any) -> list[TimeSeries]:
    augment = SeriesAugmentation(MEAN, STD, **options)
    return [augment(SERIES) for _ in range(count)]


def test_without_any_change_a_series_stays_as_it_is() -> None:
    [same] = drawn(1)
    assert torch.equal(same.values, SERIES.values)
    assert torch.equal(same.times, SERIES.times)


def test_jitter_is_in_units_of_each_channel() -> None:
    noise = torch.cat([item.values - SERIES.values for item in drawn(jitter=0.1)])
    torch.testing.assert_close(noise.std(0) / STD, torch.tensor([0.1, 0.1]), rtol=0.1, atol=0)


def test_a_magnitude_keeps_the_mean_in_place() -> None:
    for item in drawn(magnitude=0.3):
        factors = (item.values - MEAN) / (SERIES.values - MEAN)
        torch.testing.assert_close(factors, factors[:1].expand_as(factors), rtol=1e-3, atol=1e-3)
        assert (factors > 0).all()


def test_warping_moves_steps_and_keeps_their_order_and_values() -> None:
    ends = []
    for item in drawn(warp=0.3):
        assert torch.equal(item.values, SERIES.values)
        assert item.times[0] == 0
        assert (item.times.diff() > 0).all()
        ends.append(item.times[-1].item())
    assert min(ends) < 180
    assert max(ends) > 220


@pytest.mark.parametrize("crop", [0.01, 0.5, 0.99])
def test_a_crop_keeps_its_share_of_consecutive_steps(crop: float) -> None:
    lengths = set()
    for item in drawn(crop=crop):
        start = int(item.times[0])
        assert torch.equal(item.values, SERIES.values[start : start + len(item.times)])
        lengths.add(len(item.times))
    assert 200 * crop <= min(lengths)
    assert len(lengths) > 1


def test_one_step_can_be_augmented() -> None:
    one = SERIES.part(0, 1)
    changed = SeriesAugmentation(MEAN, STD, jitter=0.1, magnitude=0.1, warp=0.1, crop=0.1)(one)
    assert changed.values.shape == (1, 2)
