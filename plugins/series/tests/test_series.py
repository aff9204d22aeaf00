from __future__ import annotations

import pytest
import torch

from itnet_core import ShapeError
from itnet_series.series import Series, check_series, standardize

NAN = float("nan")
INF = float("inf")


def test_series_of_any_lengths_make_a_batch() -> None:
    items = [torch.randn(5, 2), torch.randn(3, 2)]
    series = Series.of(items)
    assert series.values.shape == (2, 5, 2)
    assert series.lengths.tolist() == [5, 3]
    assert series.times[0].tolist() == [0, 1, 2, 3, 4]
    for row, item in zip(series.values, items, strict=True):
        torch.testing.assert_close(row[: len(item)], item)


def test_what_lies_behind_the_end_of_a_series_is_not_looked_at() -> None:
    values, times, lengths = Series.of([torch.randn(6, 1), torch.randn(4, 1)])
    clean = check_series(Series(values, times, lengths), 1, "here")
    values[1, 4:], times[1, 4:] = INF, NAN
    for actual, expected in zip(check_series(Series(values, times, lengths), 1, "here"), clean, strict=True):
        torch.testing.assert_close(actual, expected)


def test_a_step_covers_the_time_to_the_middles_of_its_gaps() -> None:
    times = [torch.tensor([7.0, 8.0, 10.0, 14.0]), torch.tensor([5.0])]
    steps = check_series(Series.of([torch.zeros(4, 1), torch.zeros(1, 1)], times), 1, "here", multiple=3)
    assert steps.covered.tolist() == [[1, 1.5, 3, 4, 0, 0], [1, 0, 0, 0, 0, 0]]
    torch.testing.assert_close(steps.times[0], torch.tensor([0, 1, 3, 7, 7 + 7 / 3, 7 + 14 / 3]))
    assert steps.times[1].tolist() == [0, 1, 2, 3, 4, 5]


def test_covered_time_is_a_quadrature_of_second_order() -> None:
    """The error of ∫ cos², over steps whose gaps grow, falls with the square of the gaps: 256 times for 16."""
    errors = []
    for count in (100, 1600):
        times = torch.linspace(0, 1, count, dtype=torch.float64) * 3
        times = times + times**2
        steps = check_series(Series.of([times.cos().unsqueeze(1) ** 2], [times]), 1, "here")
        low, high = times[0] - steps.covered[0, 0] / 2, times[-1] + steps.covered[0, -1] / 2
        exact = (high - low) / 2 + ((2 * high).sin() - (2 * low).sin()) / 4
        errors.append(float(((steps.covered * steps.values[..., 0]).sum() - exact).abs()))
    assert errors[1] < errors[0] / 200


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.randn(2, 9, 1), r"here: found Tensor; expected Series.*Series.of"),
        (Series(torch.randn(2, 9), torch.randn(2, 9), torch.tensor([9, 9])), r"of shape \(2, 9\), torch.float32"),
        (Series(torch.randn(1, 9, 2), torch.arange(9.0)[None], torch.tensor([9])), r"values \(B, T, 1\)"),
        (Series(torch.ones(1, 9, 1).int(), torch.arange(9.0)[None], torch.tensor([9])), "found torch.int32"),
        (Series(torch.randn(1, 9, 1), torch.arange(9)[None], torch.tensor([9])), "torch.int64 of shape"),
        (Series(torch.randn(1, 9, 1), torch.arange(9.0)[None], torch.tensor([9.0])), r"torch.float32 of shape \(1,\)"),
        (Series(torch.randn(1, 9, 1), torch.arange(9.0)[None], torch.tensor([10])), r"lengths \[10\]; expected 1 to T"),
        (Series(torch.randn(1, 9, 1), torch.arange(9.0)[None], torch.tensor([0])), r"lengths \[0\]"),
        (Series.of([torch.tensor([[1.0], [INF]])]), "values that are infinite"),
        (Series.of([torch.zeros(2, 1)], [torch.zeros(2)]), "times that are not; expected finite, strictly increasing"),
        (Series.of([torch.zeros(2, 1)], [torch.tensor([0.0, NAN])]), "times that are not"),
        (Series.of([torch.zeros(1, 1)], [torch.tensor([INF])]), "times that are not"),
    ],
)
def test_what_is_no_batch_of_series_is_refused(inputs: Series, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        check_series(inputs, 1, "here")


def test_standardized_channels_have_mean_0_and_variance_1_where_they_are_observed() -> None:
    values = torch.randn(3, 50, 2, dtype=torch.float64) * 7 + 3
    observed = torch.rand(3, 50, 2) < 0.6
    result = standardize(values, observed, least=1e-3)
    assert not result[~observed].any()
    for i in range(3):
        for channel in range(2):
            kept = result[i, observed[i, :, channel], channel]
            torch.testing.assert_close(kept.mean(), torch.zeros_like(kept.mean()))
            torch.testing.assert_close(kept.std(correction=0), torch.ones_like(kept.mean()))


def test_what_is_even_or_missing_is_not_blown_up() -> None:
    for observed in (True, False):
        result = standardize(torch.full((1, 9, 1), 18.4), torch.full((1, 9, 1), observed), least=0.1)
        assert result.abs().max() < 1e-3
