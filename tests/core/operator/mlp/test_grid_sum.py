"""The MLP kernel of the displacement is a convolution on grids, equal to the sum over pairs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import AutoEvaluator, DenseEvaluator, Evaluator, Field, IntegralOperator, MLPKernel, Support
from itnet_core.operator.mlp.grid_sum import taps_of

SHAPES: list[tuple[tuple[int, ...], str | None]] = [((7,), "t"), ((5, 8), "yx"), ((4, 1, 6), None), ((3, 4, 5), "zyx")]
SUPPORTS: list[dict[str, Any]] = [{"window": 0.9}, {"radius": 1.1}, {"radius": 0.9, "edge": 0.5}, {"window": 9.0}]


def operator_of(coordinates: int, **options: Any) -> IntegralOperator:
    options = {"inputs": ("displacement", "distance", "fourier"), **options}
    kernel = MLPKernel(8, position_dim=coordinates, heads=2, hidden=6, frequencies=2, **options)
    return IntegralOperator(8, kernel)


def results(operator: IntegralOperator, evaluator: Evaluator, field: Field) -> list[Tensor]:
    operator.evaluator = evaluator
    leaves = [leaf.detach().clone().requires_grad_() for leaf in (field.values, field.weights)]
    field = Field(leaves[0], field.positions, leaves[1], field.grid)
    out = operator(field).values
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    leaves += [p for p in operator.parameters() if p is not operator.kernel.content.weight]  # type: ignore[union-attr]
    return [out, *torch.autograd.grad((out * weights).sum(), leaves)]


@pytest.mark.parametrize(("values_of", "path"), [("shared", "kernel.integrate"), ("full", "kernel.transform")])
@pytest.mark.parametrize("support", [*SUPPORTS, {"window": 0.9, "causal": 0}], ids=str)
@pytest.mark.parametrize(("grid", "axes"), SHAPES, ids=str)
def test_it_equals_the_sum_over_pairs(
    grid: tuple[int, ...], axes: str | None, support: dict[str, Any], values_of: str, path: str
) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    values = torch.randn(2, *grid, 8)
    weights = torch.rand(2, values[0, ..., 0].numel())
    weights[:, ::3] = 0
    field = Field.on_grid(values, axes=axes, weights=weights)
    operator = operator_of(field.positions.shape[-1], support=support, values=values_of)
    operator.evaluator = auto = AutoEvaluator(evaluators=[])
    assert operator.explain_choice(field).chosen == path
    for ours, theirs in zip(results(operator, auto, field), results(operator, DenseEvaluator(), field), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("grid", "axes"), SHAPES, ids=str)
def test_cells_give_the_tap_of_each_pair(grid: tuple[int, ...], axes: str | None) -> None:
    points = Field.on_grid(torch.randn(2, *grid, 8), axes=axes).points
    taps = taps_of(points, Support(window=0.9))
    assert taps is not None
    difference = points.positions[0].unsqueeze(0) - points.positions[0].unsqueeze(1)
    x, y = (difference.abs().amax(-1) < 0.9).nonzero(as_tuple=True)
    cells = taps.cells()
    torch.testing.assert_close(taps.offsets[cells[y] - cells[x] + len(taps.offsets) // 2], difference[x, y])


def test_full_values_of_many_channels_are_convolved_head_by_head() -> None:
    kernel = MLPKernel(384, position_dim=2, heads=2, values="full", inputs=("distance",), support={"window": 0.5})
    operator = IntegralOperator(384, kernel, evaluator=AutoEvaluator(evaluators=[]))
    assert operator.explain_choice(Field.on_grid(torch.randn(1, 9, 9, 384))).chosen == "kernel.integrate"


def test_it_is_left_to_an_evaluator_elsewhere() -> None:
    field = Field.on_grid(torch.randn(1, 5, 8, 8))
    bent = Field(field.values, field.positions.square(), grid=field.grid)
    scattered = Field(field.values, field.positions)
    moving = Field(field.values, field.positions.clone().requires_grad_(), grid=field.grid)
    local = {"support": {"window": 0.9}}
    for options, query in (
        ({}, field),
        ({**local, "normalization": "softmax"}, field),
        ({**local, "inputs": ("displacement", "key")}, field),
        ({"support": {"window": 0.4}}, field),  # exactly one row: rounding decides
        (local, bent),
        (local, scattered),
        (local, moving),
    ):
        operator = operator_of(2, **options)
        assert operator.explain_choice(query).candidates[1].reason == "can_integrate is False for these points"
