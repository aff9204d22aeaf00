"""Continuous convolution."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from itnet_core import ConfigError, DenseEvaluator, Field, IntegralOperator, ShapeError
from itnet_kernels.convolution.continuous_convolution import ContinuousConvolutionKernel

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}


@pytest.mark.parametrize("network", ["mlp", "siren"])
@pytest.mark.parametrize("grid", [(1,), (9,), (4, 5), (1, 6), (2, 3, 4)], ids=str)
def test_the_fft_is_the_sum_over_pairs(network: str, grid: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    kernel = ContinuousConvolutionKernel(6, heads=2, network=network, hidden=5, position_dim=len(grid))
    field = Field.on_grid(torch.randn(2, *grid, 6, dtype=torch.float64))
    fast = IntegralOperator(6, kernel).double()
    slow = IntegralOperator(6, kernel, evaluator=DenseEvaluator()).double()
    slow.load_state_dict(fast.state_dict())
    torch.testing.assert_close(fast(field).values, slow(field).values, **EXACT)


@pytest.mark.parametrize("moved", ["all points", "one point of one sample", "the points of one sample"])
def test_points_that_are_no_regular_grid_are_summed_pair_by_pair(moved: str) -> None:
    torch.manual_seed(0)
    field = Field.on_grid(torch.randn(2, 5, 6, 4).double())
    positions = field.positions.clone()
    if moved == "all points":
        positions = (torch.pi / 2 * positions).sin()
    else:
        positions[1, 13 if "one point" in moved else slice(None), 0] += 1e-3
    field = Field(field.values, positions, grid=field.grid)
    fast = IntegralOperator(4, ContinuousConvolutionKernel(4, hidden=5, position_dim=2)).double()
    slow = IntegralOperator(4, fast.kernel, evaluator=DenseEvaluator()).double()
    slow.load_state_dict(fast.state_dict())
    torch.testing.assert_close(fast(field).values, slow(field).values, **EXACT)


def test_rounding_of_a_grid_is_distinguished_from_irregular_points() -> None:
    for low, even in ((-1.0, True), (0.0, True), (1000.0, False)):
        field = Field.on_grid(torch.randn(1, 301, 4), bounds=[(low, low + 3.0)])
        kernel = ContinuousConvolutionKernel(4, position_dim=1)
        assert kernel.can_integrate(kernel.problem(field, field, torch.randn(1, 301, 4, 1))) == even


def test_no_pairs_are_made_on_a_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ContinuousConvolutionKernel, "tile", lambda *args: pytest.fail("a sum over pairs"))
    kernel = ContinuousConvolutionKernel(4, heads=2, support={"causal": "t"})
    operator = IntegralOperator(4, kernel)
    assert operator(Field.on_grid(torch.randn(1, 3000, 4), axes="t")).values.isfinite().all()


def test_it_is_translation_invariant() -> None:
    torch.manual_seed(0)
    operator = IntegralOperator(4, ContinuousConvolutionKernel(4, heads=2)).double()
    field = Field(torch.randn(1, 7, 4), torch.rand(1, 7, 4)).to(torch.float64)
    moved = Field(field.values, field.positions + 5, field.weights)
    torch.testing.assert_close(operator(moved).values, operator(field).values, **EXACT)


def test_another_resolution_is_another_discretisation() -> None:
    """The mean over finer and finer cells converges to the integral."""
    torch.manual_seed(0)
    operator = IntegralOperator(2, ContinuousConvolutionKernel(2, heads=2, position_dim=1, omega=3)).double()

    def wave(points: int) -> Field:
        field = Field.on_grid(torch.zeros(1, points, 2, dtype=torch.float64))
        return field.with_values(torch.cat([(3 * field.positions).sin(), (2 * field.positions).cos()], dim=-1))

    query = wave(8)
    exact = operator(query, wave(4096)).values
    errors = [(operator(query, wave(points)).values - exact).abs().max() for points in (32, 64, 128)]
    assert errors[0] < 0.05
    assert errors[1] < errors[0] / 3.5
    assert errors[2] < errors[1] / 3.5


def test_positions_of_another_space_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"positions\): found 2 coordinates; expected position_dim = 4"):
        IntegralOperator(8, ContinuousConvolutionKernel(8))(Field(torch.randn(1, 5, 8), torch.rand(1, 5, 2)))


def test_too_many_layers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"layers: found 1000000000; expected less than or equal to 100"):
        ContinuousConvolutionKernel(8, layers=10**9)
