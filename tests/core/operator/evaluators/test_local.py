"""The local evaluator equals dense, computes near pairs only, and holds little memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itnet_core import (
    AutoEvaluator,
    DenseEvaluator,
    Evaluator,
    Field,
    IntegralOperator,
    LocalEvaluator,
    MLPKernel,
    Nodes,
    Sampler,
    gather_points,
    nearest_points,
)
from itnet_core.operator import integral_operator
from itnet_core.operator.evaluators import local
from itnet_core.operator.neighbourhoods import neighbourhoods

SUPPORTS: list[dict[str, Any]] = [
    {"radius": 0.5},
    {"window": 0.4},
    {"radius": 0.7, "causal": 1},
    {"window": 0.4, "edge": 0.2},
    {"radius": 50.0},
    {"radius": 0.0},
]


def operator_of(support: dict[str, Any], normalization: str = "none") -> IntegralOperator:
    sizes: dict[str, Any] = {"heads": 2, "hidden": 6, "rank": 3, "frequencies": 2}
    return IntegralOperator(8, MLPKernel(8, position_dim=2, normalization=normalization, support=support, **sizes))


def results(evaluator: Evaluator, operator: IntegralOperator, query: Field | None, key: Field) -> tuple[Tensor, ...]:
    leaves = [leaf.detach().clone().requires_grad_() for leaf in (key.values, key.positions, key.weights)]
    operator.evaluator = evaluator
    values, positions, weights = leaves
    key = Field(values, positions, weights, key.grid)
    out = operator(key if query is None else query, key).values
    factors = torch.linspace(-1, 1, out.numel()).view_as(out)
    return out, *torch.autograd.grad((out * factors).sum(), [*leaves, *operator.parameters()])


def assert_equal_dense(operator: IntegralOperator, query: Field | None, key: Field) -> None:
    ways = (results(evaluator, operator, query, key) for evaluator in (LocalEvaluator(), DenseEvaluator()))
    for ours, theirs in zip(*ways, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(
    normalization=st.sampled_from(["none", "softmax"]),
    support=st.sampled_from(SUPPORTS),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    clustered=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_it_equals_dense(
    normalization: str, support: dict[str, Any], sizes: tuple[int, int, int], clustered: bool, seed: int
) -> None:
    """Values and gradients, over sizes, supports, densities, padding and cross fields."""
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float64)
    batch, n, m = sizes
    weights = torch.rand(batch, m) * (torch.rand(batch, m) > 0.3)
    weights[:, 0] = 0.5
    positions = torch.randn(batch, m, 2)
    if clustered:
        positions[:, : m // 2] = 10 + 1e-3 * positions[:, : m // 2]
    key = Field(torch.randn(batch, m, 8), positions, weights)
    operator = operator_of(support, normalization)
    assert_equal_dense(operator, None, key)
    assert_equal_dense(operator, Field(torch.randn(batch, n, 8), torch.randn(batch, n, 2)), key)


@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize("grid", [(6, 8), (7, 9), (1, 5), (33, 1)], ids=str)
def test_it_equals_dense_on_grids(normalization: str, grid: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples share the groups of their grid; tiles of few keys and few groups add up."""
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(local, "KEY_TILE", 5)
    monkeypatch.setattr(local, "CPU_TILE_BYTES", 4000)
    assert_equal_dense(operator_of({"window": 0.6}, normalization), None, Field.on_grid(torch.randn(2, *grid, 8)))


def test_a_window_on_a_grid_meets_twice_its_pairs() -> None:
    """Eight queries, 2 by 4, meet 6 by 8 keys for a window of 5 by 5."""
    field = Field.on_grid(torch.randn(3, 40, 40, 8))
    operator = operator_of({"window": 2.5 * 2 / 40})
    problem = operator.kernel.problem(field, field, operator.value(field.values))
    near = neighbourhoods(problem)
    assert len(near.queries) == 3 * 200
    assert near.pairs <= 48 * 3 * 1600
    assert neighbourhoods(problem) is near, "kept with the points"


def test_the_pairs_grow_as_the_points_do() -> None:
    """With as many neighbours each, whatever the density: half of the points fill a hundredth of the space."""
    counts = []
    for points in (1000, 4000):
        torch.manual_seed(0)
        positions = torch.rand(1, points, 2)
        positions[:, ::2] *= 0.1
        field = Field(torch.randn(1, points, 8), positions)
        operator = operator_of({"radius": 0.5 / points**0.5})
        counts.append(
            neighbourhoods(operator.kernel.problem(field, field, operator.value(field.values))).pairs / points
        )
    assert counts[1] < 1.3 * counts[0]


class Nearest(Sampler):
    """Some nodes of each query; the first one has no weight."""

    def forward(self, query: Field, key: Field) -> Nodes:
        indices, _ = nearest_points(query.positions.detach(), key.positions.detach(), key.mask, 5)
        weights = torch.linspace(0, 1, 5).expand_as(indices) * gather_points(key.weights, indices)
        return Nodes(indices, weights)


@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize("support", [{}, {"radius": 0.5, "edge": 0.2}], ids=str)
def test_nodes_of_each_query_are_summed_without_gathering_them(
    normalization: str, support: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    field = Field(torch.randn(2, 30, 8), torch.rand(2, 30, 2), 0.5 + torch.rand(2, 30))
    operator = operator_of(support, normalization)
    operator.sampler = Nearest(8)
    gathered = results(DenseEvaluator(), operator, None, field)
    operator.evaluator = AutoEvaluator(evaluators=[])
    assert operator.explain_choice(field).chosen == "DenseEvaluator"
    monkeypatch.setattr(integral_operator, "NODES_BYTES", 0)
    monkeypatch.setattr(local, "CPU_TILE_BYTES", 4000)
    operator.evaluator = AutoEvaluator(evaluators=[])
    assert operator.explain_choice(field).chosen == "LocalEvaluator"
    for evaluator in (LocalEvaluator(), AutoEvaluator(evaluators=[])):
        for ours, theirs in zip(results(evaluator, operator, None, field), gathered, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


def test_auto_chooses_it_where_few_pairs_are_near() -> None:
    field = Field.on_grid(torch.randn(1, 20, 20, 8))
    for window, chosen in ((0.15, "LocalEvaluator"), (1.5, "DenseEvaluator")):
        operator = operator_of({"window": window})
        operator.evaluator = AutoEvaluator(evaluators=[])
        assert operator.explain_choice(field).chosen == chosen
