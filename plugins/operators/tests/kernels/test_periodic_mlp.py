from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from itnet_core import ConfigError, Field, IntegralOperator
from itnet_operators.kernels.periodic_mlp import PeriodicMLPKernel, whole_vectors


@given(points=st.integers(2, 12), steps=st.integers(-20, 20), frequencies=st.integers(1, 6))
def test_shifting_around_the_circle_shifts_the_output(points: int, steps: int, frequencies: int) -> None:
    kernel = PeriodicMLPKernel(8, periods={"x": 2.0}, frequencies=frequencies)
    operator = IntegralOperator(8, kernel).double()
    field = Field.on_grid(torch.randn(2, points, 8, dtype=torch.float64), axes="x")
    shifted = operator(field.map(lambda values: values.roll(steps, 1))).values
    torch.testing.assert_close(shifted, operator(field).values.roll(steps, 1), rtol=1e-9, atol=1e-9)


def test_shifting_around_a_torus_shifts_the_output() -> None:
    operator = IntegralOperator(8, PeriodicMLPKernel(8, periods={"y": 2.0, "x": 4.0}, frequencies=7)).double()
    values = torch.randn(1, 4, 5, 8, dtype=torch.float64)

    def output(values: torch.Tensor) -> torch.Tensor:
        return operator(Field.on_grid(values, axes="yx", bounds=[(-1, 1), (0, 4)])).values.view_as(values)

    torch.testing.assert_close(output(values.roll((1, 2), (1, 2))), output(values).roll((1, 2), (1, 2)))


def test_it_tells_left_from_right() -> None:
    operator = IntegralOperator(8, PeriodicMLPKernel(8))
    field = Field.on_grid(torch.randn(1, 9, 8), axes="x")
    mirrored = operator(field.map(lambda values: values.flip(1))).values
    assert not torch.allclose(mirrored, operator(field).values.flip(1), rtol=1e-2)


def test_the_sum_over_a_few_points_is_the_integral() -> None:
    """Of a band-limited field, up to the activation: the error falls faster than any power of the points."""
    operator = IntegralOperator(8, PeriodicMLPKernel(8, frequencies=2, inputs=("query", "fourier")))

    @torch.no_grad()
    def output(points: int) -> torch.Tensor:
        x = 2 * torch.arange(points) / points - 1
        values = torch.stack([torch.sin(torch.pi * x * (k // 2) + k) for k in range(8)], -1).unsqueeze(0)
        shift = 1 / points
        return operator(Field.on_grid(values, axes="x", bounds=[(-1 - shift, 1 - shift)])).values[:, :: points // 16]

    exact = output(512)
    errors = [float((output(points) - exact).norm() / exact.norm()) for points in (16, 32)]
    assert errors[0] < 1e-3
    assert errors[1] < 0.1 * errors[0] + 1e-6


def test_frequencies_are_whole_cycles_with_one_of_each_pair_of_opposites() -> None:
    vectors = [v for v, _ in zip(whole_vectors(3), range(62), strict=False)]
    both = {*vectors, *(tuple(-entry for entry in v) for v in vectors)}
    assert len(both) == 2 * 62 == 5**3 - 1
    matrix = PeriodicMLPKernel(8, periods={"x": 3.0, "t": 0.5}, frequencies=12).frequency_matrix
    cycles = matrix * torch.tensor([0.5, 3.0, 1.0, 1.0])
    torch.testing.assert_close(cycles, cycles.round())
    assert (matrix[:, 2:] == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": ("displacement",)}, "inputs"),
        ({"support": {"radius": 0.3}}, "support.*every pair"),
        ({"periods": {}}, "periods"),
        ({"periods": {"u": 1.0}}, "periods"),
    ],
)
def test_what_is_not_periodic_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PeriodicMLPKernel(8, **options)
