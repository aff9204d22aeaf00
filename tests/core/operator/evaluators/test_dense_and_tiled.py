"""Evaluators: tiled equals dense, dense equals the definition, and padding is absence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from itnet_core import (
    AutoEvaluator,
    DenseEvaluator,
    DerivativeError,
    Evaluator,
    Field,
    IntegralOperator,
    MLPKernel,
    TiledEvaluator,
)
from itnet_core.operator.evaluators.tiled import CPU_TILE_BYTES, tile_shape

MakeField = Callable[..., Field]

SUPPORTS: list[dict[str, Any]] = [{}, {"causal": 0}, {"radius": 0.9}, {"window": 0.6}, {"causal": 1, "radius": 1.0}]
NORMALIZATIONS = ["none", "softmax"]


def kernel_of(normalization: str, support: dict[str, Any]) -> MLPKernel:
    return MLPKernel(
        8, position_dim=2, heads=2, hidden=6, rank=3, frequencies=2, normalization=normalization, support=support
    )


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("support", SUPPORTS, ids=str)
def test_dense_is_the_definition(normalization: str, support: dict[str, Any], make_field: MakeField) -> None:
    """docs/operator.md, §1, as a sum over one pair after another."""
    kernel = kernel_of(normalization, support)
    query, key = make_field(points=5), make_field(points=6)
    values = torch.randn(2, 6, 2, 3)
    problem = kernel.problem(query, key, values)
    out = DenseEvaluator()(problem)
    pairs = kernel.tile(problem.query_terms, problem.key_terms)
    inside = kernel.support.mask(query.positions, key.positions)
    expected = torch.zeros(2, 5, 2, 3)
    for b, i, h in torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(2)).tolist():
        mass = torch.tensor(0.0)
        for j in range(6):
            if inside[b, i, j] and key.weights[b, j] > 0:
                score = pairs[b, h, i, j]
                weight = key.weights[b, j] * (score if normalization == "none" else score.exp())
                expected[b, i, h] += weight * values[b, j, h]
                mass += weight
        if normalization == "softmax" and mass:
            expected[b, i, h] /= mass
    torch.testing.assert_close(out, expected)


def _value_and_gradients(
    evaluator: Evaluator, operator: IntegralOperator, query: Field, key: Field
) -> tuple[Tensor, ...]:
    leaves = [query.values, key.values, key.positions, key.weights]
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    operator.evaluator = evaluator
    out = operator(query.with_values(leaves[0]), Field(leaves[1], leaves[2], leaves[3])).values
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    return out, *torch.autograd.grad((out * weights).sum(), [*leaves, *operator.parameters()])


@settings(max_examples=30, deadline=None)
@given(
    normalization=st.sampled_from(NORMALIZATIONS),
    support=st.sampled_from(SUPPORTS),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 17), st.integers(1, 17)),
    tile=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    seed=st.integers(0, 2**16),
)
def test_tiled_equals_dense(
    normalization: str, support: dict[str, Any], sizes: tuple[int, int, int], tile: tuple[int, int], seed: int
) -> None:
    """Values and gradients, over ragged sizes, tiles, supports, padding and cross fields."""
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float64)
    batch, n, m = sizes
    weights = torch.rand(batch, m) * (torch.rand(batch, m) > 0.3)
    weights[:, 0] = 0.5
    query = Field(torch.randn(batch, n, 8), torch.randn(batch, n, 2))
    key = Field(torch.randn(batch, m, 8), torch.randn(batch, m, 2), weights)
    operator = IntegralOperator(8, kernel_of(normalization, support))
    dense = _value_and_gradients(DenseEvaluator(), operator, query, key)
    tiled = _value_and_gradients(TiledEvaluator(query_tile=tile[0], key_tile=tile[1]), operator, query, key)
    for theirs, ours in zip(dense, tiled, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_tiled_backward_pass_is_the_derivative(normalization: str, make_field: MakeField) -> None:
    kernel = MLPKernel(4, position_dim=2, heads=2, hidden=4, rank=2, frequencies=1, activation="tanh")
    kernel.normalization = normalization  # type: ignore[assignment]
    query, key = make_field(batch=1, points=4, dim=4), make_field(batch=1, points=5, dim=4)
    evaluator = TiledEvaluator(query_tile=3, key_tile=2)

    def total(query_values: Tensor, key_values: Tensor, positions: Tensor, values: Tensor, *_: Tensor) -> Tensor:
        fields = query.with_values(query_values), Field(key_values, positions, key.weights)
        return evaluator(kernel.problem(*fields, values))

    inputs = (query.values, key.values, key.positions, torch.randn(1, 5, 2, 2))
    gradcheck(total, (*(x.requires_grad_() for x in inputs), *kernel.parameters()))


@pytest.mark.parametrize(
    "evaluator", [DenseEvaluator(), TiledEvaluator(query_tile=2, key_tile=3)], ids=["dense", "tiled"]
)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_padding_changes_nothing(evaluator: Evaluator, normalization: str, make_field: MakeField) -> None:
    """Points of weight 0, NaN values among them, are as if they were not there: value and gradient."""
    operator = IntegralOperator(8, kernel_of(normalization, {"radius": 1.5}), evaluator=evaluator)
    query, key = make_field(points=4, padding=0), make_field(points=5, padding=0)
    padded = Field(
        torch.cat([key.values, torch.full((2, 3, 8), torch.nan)], 1),
        torch.cat([key.positions, torch.randn(2, 3, 2)], 1),
        torch.cat([key.weights, torch.zeros(2, 3)], 1),
    )
    results = []
    for field in (key, padded):
        out = operator(query, field).values
        results.append((out, *torch.autograd.grad(out.square().sum(), list(operator.parameters()))))
    for alone, beside_padding in zip(*results, strict=True):
        torch.testing.assert_close(beside_padding, alone)


@pytest.mark.parametrize("evaluator", [DenseEvaluator(), TiledEvaluator(key_tile=2)], ids=["dense", "tiled"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_an_empty_neighbourhood_gives_zero(evaluator: Evaluator, normalization: str) -> None:
    kernel = kernel_of(normalization, {"radius": 0.1})
    query = Field(torch.randn(1, 2, 8), torch.tensor([[[0.0, 0.0], [9.0, 9.0]]]))
    key = Field(torch.randn(1, 3, 8), torch.zeros(1, 3, 2))
    values = torch.randn(1, 3, 2, 4, requires_grad=True)
    out = evaluator(kernel.problem(query, key, values))
    assert out[0, 0].abs().min() > 0
    assert torch.equal(out[0, 1], torch.zeros(2, 4))
    (grad,) = torch.autograd.grad(out.sum(), values)
    assert grad.isfinite().all()


def test_second_derivatives_are_refused_and_not_wrong(make_field: MakeField) -> None:
    operator = IntegralOperator(8, kernel_of("none", {}), evaluator=TiledEvaluator(key_tile=3))
    field = make_field()
    values = field.values.requires_grad_()
    total = operator(field.with_values(values)).values.square().sum()
    with pytest.raises(DerivativeError, match="Use the evaluator 'dense'"):
        torch.autograd.grad(total, values, create_graph=True)


@pytest.mark.parametrize("score", [-3e38, -1e10, 1e10])
def test_a_row_of_one_large_score_has_the_gradients_of_a_mean(score: float) -> None:
    """A query whose keys all are masked by a large number weighs them equally."""

    class Constant(MLPKernel):
        def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
            return torch.full((1, self.heads, 2, 5), score)

    kernel = Constant(8, position_dim=2, heads=2, hidden=6, rank=3, frequencies=2, normalization="softmax")
    query, key = (Field(torch.randn(1, points, 8), torch.randn(1, points, 2)) for points in (2, 5))
    values = torch.randn(1, 5, 2, 3, requires_grad=True)
    out = TiledEvaluator()(kernel.problem(query, key, values))
    torch.testing.assert_close(out, values.mean(1, keepdim=True).expand_as(out))
    (gradient,) = torch.autograd.grad(out.sum(), values)
    torch.testing.assert_close(gradient, torch.full_like(values, 2 / 5))


def test_softmax_survives_large_scores() -> None:
    kernel = kernel_of("softmax", {})
    kernel.second.weight.data *= 1e4
    field = Field(torch.randn(1, 9, 8), torch.randn(1, 9, 2))
    problem = kernel.problem(field, field, torch.randn(1, 9, 2, 4))
    results = [evaluator(problem) for evaluator in (DenseEvaluator(), TiledEvaluator(key_tile=2))]
    assert results[0].isfinite().all()
    torch.testing.assert_close(*results)


def test_causal_tiles_in_the_future_are_skipped() -> None:
    kernel = kernel_of("none", {"causal": 0})
    field = Field(torch.randn(1, 64, 8), torch.arange(64.0).view(1, 64, 1).expand(1, 64, 2))
    called = []
    kernel.register_forward_hook(lambda *_: called.append(1))
    TiledEvaluator(query_tile=8, key_tile=8)(kernel.problem(field, field, torch.randn(1, 64, 2, 4)))
    assert len(called) == 8 * 9 // 2


def test_no_pair_tensor_is_kept() -> None:
    """The graph of a tiled evaluation holds O(N) numbers, whatever the number of pairs."""

    def held(points: int) -> int:
        sizes: list[int] = []

        def keep(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        field = Field(torch.randn(1, points, 8), torch.randn(1, points, 2))
        operator = IntegralOperator(8, kernel_of("softmax", {}), evaluator=TiledEvaluator(query_tile=8, key_tile=8))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            operator(field)
        return sum(sizes)

    fixed = held(32) - (held(64) - held(32))
    assert held(256) - fixed == 8 * (held(32) - fixed)


def test_the_tile_rule() -> None:
    cpu = torch.device("cpu")
    batch, n, m = tile_shape(4, 4096, 4096, 128, cpu)
    assert (batch, m) == (1, 1024)
    assert n * m * 128 == CPU_TILE_BYTES
    assert tile_shape(64, 16, 16, 128, cpu) == (64, 16, 16)
    assert tile_shape(1, 10, 5000, 10**9, cpu) == (1, 1, 1024)


def test_auto_gives_the_same_as_dense_on_both_sides_of_its_threshold(
    make_field: MakeField, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = IntegralOperator(8, kernel_of("softmax", {}))
    assert isinstance(operator.evaluator, AutoEvaluator)
    field = make_field()
    expected = operator(field).values
    monkeypatch.setattr("itnet_core.operator.evaluators.dense.DENSE_BYTES", 0)
    torch.testing.assert_close(operator(field).values, expected)


def test_half_precision_inputs_are_summed_in_their_own_dtype(make_field: MakeField) -> None:
    operator = IntegralOperator(8, kernel_of("softmax", {}))
    field = make_field()
    exact = operator(field).values
    for evaluator in (DenseEvaluator(), TiledEvaluator(key_tile=3)):
        half = IntegralOperator(8, kernel_of("softmax", {}), evaluator=evaluator)
        half.load_state_dict(operator.state_dict())
        half = half.to(torch.bfloat16)
        out = half(field.with_values(field.values.bfloat16())).values
        assert out.dtype == torch.bfloat16
        assert (out - exact).norm() / exact.norm() < 0.05
