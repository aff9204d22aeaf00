from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from itnet_core import Field, IntegralOperator, MLPKernel
from itnet_operators.metrics import RelativeL2
from itnet_operators.samples import (
    FieldSample,
    collate_fields,
    collate_targets,
    grid_points,
    relative_errors,
    samples_on,
    with_coordinates,
)


def drawn(points: int, outputs: int = 2) -> FieldSample:
    weights = torch.rand(points) + 0.1
    return FieldSample(
        torch.randn(points, 3), torch.rand(points, 4), weights / weights.sum(), torch.randn(points, outputs)
    )


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_a_sample_has_the_same_error_alone_and_in_a_batch(sizes: list[int]) -> None:
    samples = [drawn(size) for size in sizes]
    batch = collate_targets(samples, [2.0, 0.5])
    prediction = torch.randn(len(sizes), max(sizes), 2)
    together = relative_errors(prediction, batch)
    for number, sample in enumerate(samples):
        alone = relative_errors(prediction[number : number + 1, : sizes[number]], collate_targets([sample], [2.0, 0.5]))
        torch.testing.assert_close(together[number : number + 1], alone)
    field = collate_fields(samples)
    assert (field.weights > 0).sum(1).tolist() == sizes


def test_the_error_is_that_of_functions() -> None:
    """Whatever the points: those of a finer grid, or irregular ones with the lengths of their cells."""

    def error(points: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        target = torch.sin(3 * points) + 1
        sample = FieldSample(target, points.expand(-1, 4), weights, target)
        return relative_errors((target + points**2).unsqueeze(0), collate_targets([sample], [1.0]))

    edges = [torch.linspace(0, 1, 51), torch.linspace(0, 1, 401), torch.rand(400).sort().values]
    edges[2][0], edges[2][-1] = 0, 1
    errors = [error(((e[1:] + e[:-1]) / 2).unsqueeze(1), e.diff()) for e in edges]
    torch.testing.assert_close(errors[0], errors[1], rtol=1e-3, atol=0)
    torch.testing.assert_close(errors[2], errors[1], rtol=1e-2, atol=0)


def test_points_without_a_target_do_not_count() -> None:
    sample = drawn(6)
    assert sample.targets is not None
    sample.targets[2] = torch.nan
    sample.targets[4, 1] = torch.nan
    targets, prediction = collate_targets([sample], [1.0, 1.0]), torch.randn(1, 6, 2)
    before = relative_errors(prediction, targets)
    prediction[0, 2], prediction[0, 4, 1] = torch.inf, torch.nan
    torch.testing.assert_close(relative_errors(prediction, targets), before)


def test_an_exact_prediction_has_a_finite_gradient() -> None:
    targets = collate_targets([drawn(5)], [1.0, 1.0])
    prediction = targets.values.clone().requires_grad_()
    torch.autograd.backward(relative_errors(prediction, targets).sum())
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()


def test_the_metric_is_the_mean_over_samples_of_all_batches() -> None:
    targets, prediction = collate_targets([drawn(5) for _ in range(7)], [1.0, 1.0]), torch.randn(7, 5, 2)
    metric = RelativeL2()
    for part in (slice(0, 4), slice(4, 7)):
        metric.update(prediction[part], type(targets)(*(tensor[part] for tensor in targets)))
    torch.testing.assert_close(metric.compute(), relative_errors(prediction, targets).double().mean())


def test_a_batch_on_one_grid_keeps_it_for_fast_algorithms() -> None:
    points = grid_points((6, 6), "yx")
    field = collate_fields(samples_on(points, torch.randn(3, 36, 8), torch.randn(3, 36, 1)))
    assert field.grid == (6, 6)
    operator = IntegralOperator(8, MLPKernel(8, inputs=("displacement",), values="full", support={"window": 0.5}))
    assert "kernel.transform  chosen" in str(operator.explain_choice(field))
    [other] = samples_on(grid_points((9, 4), "yx"), torch.randn(1, 36, 8), torch.randn(1, 36, 1))
    assert collate_fields([*samples_on(points, torch.randn(1, 36, 8), torch.randn(1, 36, 1)), other]).grid is None


@pytest.mark.parametrize(("axes", "columns"), [("yx", [2, 1]), ("t", [0])])
def test_coordinates_are_channels_in_the_order_of_the_axes(axes: str, columns: list[int]) -> None:
    sample = drawn(5)
    values = with_coordinates(sample, axes).values
    torch.testing.assert_close(values[:, 3:], sample.positions[:, columns])
    assert isinstance(collate_fields([sample]), Field)
