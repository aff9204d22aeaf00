from __future__ import annotations

from typing import Any

import pytest
import torch

from itnet_core import ConfigError
from itnet_series.encoders.series import SeriesEncoder
from itnet_series.series import Series

NAN = float("nan")


def uneven(length: int, channels: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(length, channels, dtype=torch.float64), (torch.rand(length).double() + 0.1).cumsum(0)


@pytest.mark.parametrize("patch", [1, 3])
@pytest.mark.parametrize("normalization", ["fixed", "sample", "none"])
@pytest.mark.parametrize("weights", ["time", "steps"])
def test_a_field_does_not_depend_on_the_batch(patch: int, normalization: str, weights: str) -> None:
    encoder = SeriesEncoder(8, channels=2, patch=patch, normalization=normalization, weights=weights).double()
    items = [uneven(length) for length in (1, 5, 9)]
    items[1][0][2, 0] = NAN
    batch = encoder(Series.of(*map(list, zip(*items, uneven(13), strict=True))))
    for i, (values, times) in enumerate(items):
        alone = encoder(Series.of([values], [times]))
        points = alone.values.shape[1]
        assert (alone.weights > 0).all()
        assert not batch.weights[i, points:].any()
        for part in ("values", "positions", "weights"):
            torch.testing.assert_close(getattr(batch, part)[i, :points], getattr(alone, part)[0])


def test_points_lie_at_the_times_of_their_steps() -> None:
    """In units of `unit`, from 0 at the first, whenever that is."""
    values, times = uneven(6)
    encoder = SeriesEncoder(8, channels=2, unit=0.5).double()
    field = encoder(Series.of([values], [times]))
    torch.testing.assert_close(field.positions[0, :, 0], (times - times[0]) / 0.5)
    torch.testing.assert_close(encoder(Series.of([values], [times + 1000])).positions, field.positions)


def test_the_last_patch_weighs_the_steps_that_it_has() -> None:
    field = SeriesEncoder(8, patch=4)(Series.of([torch.randn(10, 1)]))
    assert field.positions[0, :, 0].tolist() == [1.5, 5.5, 9.5]
    torch.testing.assert_close(field.weights[0], torch.tensor([0.4, 0.4, 0.2]))


def test_weights_are_of_time_or_of_steps() -> None:
    series = Series.of([torch.randn(4, 1)], [torch.tensor([0.0, 1.0, 3.0, 7.0])])
    torch.testing.assert_close(SeriesEncoder(8)(series).weights[0], torch.tensor([1, 1.5, 3, 4]) / 9.5)
    assert SeriesEncoder(8, weights="steps")(series).weights[0].tolist() == [0.25] * 4


def test_a_missing_value_contributes_its_mark_alone() -> None:
    encoder = SeriesEncoder(8, channels=2, mean=(5.0, 1.0), std=(2.0, 1.0))
    present, missing = (encoder(Series.of([torch.tensor([[x, 3.0]])])).values[0, 0] for x in (5.0, NAN))
    torch.testing.assert_close(missing - present, encoder.projection.weight[:, 2])
    without = SeriesEncoder(8, channels=2, mean=(5.0, 1.0), missing=False)
    present, missing = (without(Series.of([torch.tensor([[x, 3.0]])])).values for x in (5.0, NAN))
    torch.testing.assert_close(missing, present)


def test_normalization_removes_what_it_says() -> None:
    values = torch.randn(7, 1, dtype=torch.float64)
    for normalization, equal in (("sample", True), ("fixed", False), ("none", False)):
        encoder = SeriesEncoder(8, normalization=normalization, mean=(2.0,), std=(3.0,)).double()
        first, second = (encoder(Series.of([x])).values for x in (values, 5 * values + 2))
        assert torch.allclose(first, second) == equal
    fixed = SeriesEncoder(8, mean=(2.0,), std=(4.0,)).double()
    plain = SeriesEncoder(8, normalization="none", mean=(2.0,), std=(4.0,)).double()
    plain.load_state_dict(fixed.state_dict())
    torch.testing.assert_close(fixed(Series.of([4 * values + 2])).values, plain(Series.of([values])).values)


def test_gradients_of_values_with_missing_ones_are_finite() -> None:
    values = torch.tensor([[1.0], [NAN], [2.0]], requires_grad=True)
    for normalization in ("fixed", "sample"):
        encoder = SeriesEncoder(8, normalization=normalization)
        [gradient] = torch.autograd.grad(encoder(Series.of([values])).values.square().sum(), values)
        assert gradient.isfinite().all()
        assert not gradient[1].any()


def test_a_checkpoint_holds_what_is_learned_alone() -> None:
    encoder = SeriesEncoder(8, mean=(2.0,), std=(4.0,))
    assert set(encoder.state_dict()) == {"projection.weight", "projection.bias"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": [1.0]}, "expected mean of 2 numbers, one for each channel"),
        ({"std": [1.0, 1.0, 1.0]}, "expected std of 2 numbers"),
        ({"std": [1.0, 0.0]}, "std"),
        ({"mean": [NAN, 0.0]}, "mean"),
        ({"unit": 0}, "unit"),
        ({"patch": 0}, "patch"),
        ({"kernel": 3}, "found a field that does not exist"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SeriesEncoder(8, **{"channels": 2, **options})
