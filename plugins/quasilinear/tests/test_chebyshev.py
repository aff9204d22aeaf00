from __future__ import annotations

import logging
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from itnet_core import (
    AutoEvaluator,
    ConfigError,
    DenseEvaluator,
    DerivativeError,
    Evaluator,
    Field,
    Kernel,
    MLPKernel,
    Points,
)
from itnet_core.operator.mlp import PointTerms
from itnet_quasilinear import ChebyshevEvaluator, ToleranceError
from itnet_quasilinear import smooth_sums as module

ADDITIVE: dict[str, Any] = {"inputs": ("query", "key", "displacement")}
Case = tuple[Kernel, Points, Points, Tensor]


def case(batch: int = 2, n: int = 60, m: int = 90, scale: float = 3.0, seed: int = 0, **options: Any) -> Case:
    """Random points in float64; `scale` multiplies the first layer."""
    torch.manual_seed(seed)
    kernel = MLPKernel(8, heads=2, hidden=6, **{**ADDITIVE, "activation": "silu", **options}).double()
    with torch.no_grad():
        kernel.first.weight *= scale
    query, key = (Field(torch.randn(batch, k, 8), torch.rand(batch, k, 4)).to(torch.float64) for k in (n, m))
    key = Field(key.values, key.positions, key.weights * (torch.arange(m) % 4 != 1))
    with torch.no_grad():
        terms = kernel.project(query, key)
    sides = [Points(t, f.positions, f.weights) for t, f in zip(terms, (query, key), strict=True)]
    return kernel, sides[0], sides[1], torch.randn(batch, m, 2, 3, dtype=torch.float64)


def numbers(given: Case, evaluator: Evaluator) -> list[Tensor]:
    """The result, and its gradients to terms (but for the constant feature), values, weights and parameters."""
    kernel, query, key, values = given
    leaves = [each.detach().requires_grad_() for each in (*query.terms, *key.terms, values, key.weights)]
    x, x_positions, y, y_positions, values, weights = leaves
    query = query._replace(terms=PointTerms(x, x_positions))
    out = evaluator(kernel, query, key._replace(terms=PointTerms(y, y_positions), weights=weights), values)
    parameters = [*kernel.first.parameters(), *kernel.second.parameters()]
    target = out.flatten() @ torch.linspace(-1, 1.5, out.numel(), dtype=out.dtype)
    found = list(torch.autograd.grad(target, [*leaves, *parameters]))
    return [out.detach(), found[0][..., 1:], found[1], found[2][..., 1:], *found[3:]]


def largest_error(given: Case, evaluator: Evaluator) -> float:
    """Relative to the largest number of each tensor."""
    pairs = zip(numbers(given, evaluator), numbers(given, DenseEvaluator()), strict=True)
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)


@pytest.mark.parametrize("activation", ["silu", "gelu", "tanh"])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-4, 1e-6, 1e-8, 1e-10])
def test_values_and_gradients_are_as_good_as_asked_for(tolerance: float, activation: str) -> None:
    for seed, (n, m) in enumerate(((60, 90), (1, 33), (70, 2))):
        evaluator = ChebyshevEvaluator(tolerance=tolerance)
        found = largest_error(case(2, n, m, seed=seed, activation=activation), evaluator)
        assert found <= tolerance, f"{n} x {m}: {found:.2g}"


@pytest.mark.parametrize("apart", [1e-1, 1e-2, 1e-3])
def test_gradients_are_as_good_where_hidden_units_cancel(apart: float) -> None:
    for seed, scale, activation in product(range(3), (1.0, 3.0, 10.0), ("silu", "gelu", "tanh")):
        given = case(n=60, m=90, scale=scale, seed=seed, activation=activation)
        kernel: Any = given[0]
        with torch.no_grad():
            noise = apart * torch.randn_like(kernel.first.weight[:3])
            kernel.first.weight[3:] = kernel.first.weight[:3] + noise
            kernel.first.bias[3:] = kernel.first.bias[:3]
            kernel.second.weight[:, 3:] = -kernel.second.weight[:, :3]
            kernel.second.bias.zero_()
        found = largest_error(given, ChebyshevEvaluator(tolerance=1e-6))
        assert found <= 1e-6, f"{activation}, {scale}, {seed}: {found:.2g}"


def test_a_tolerance_costs_no_more_nodes_than_it_needs() -> None:
    used = []
    for tolerance in (1e-3, 1e-6, 1e-9):
        evaluator = ChebyshevEvaluator(tolerance=tolerance)
        error = largest_error(case(), evaluator)
        assert evaluator.report is not None
        used.append(evaluator.report.nodes)
        assert error > 1e-4 * tolerance
    assert used == sorted(set(used))


def test_the_report_has_the_error_of_the_rows() -> None:
    given = case(1)
    evaluator = ChebyshevEvaluator(tolerance=1e-3, rows=100)  # more than there are: all 60
    found = evaluator(*given)
    exact = DenseEvaluator()(*given)
    constant = given[0].second.bias.view(1, 1, 2, 1) * (given[2].weights[..., None, None] * given[3]).sum(
        1, keepdim=True
    )
    assert evaluator.report is not None
    assert evaluator.report.rows == 60
    expected = (found - exact).abs().max() / (exact - constant).abs().max()
    assert evaluator.report.error == pytest.approx(float(expected), rel=1e-6)
    assert 0 < evaluator.report.error < 1e-3
    assert 0 < evaluator.report.bound < 1e-3


def test_the_report_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    evaluator = ChebyshevEvaluator()
    assert evaluator.report is None
    with caplog.at_level(logging.DEBUG, "itnet_quasilinear"):
        evaluator(*case())
    assert str(evaluator.report) in caplog.text


def test_hidden_units_that_cancel_get_more_nodes() -> None:
    """The error is one of the sums: where two units cancel all but a 10⁻⁵th, the nodes of σ alone would not do."""
    kernel, *others = case(1)
    with torch.no_grad():
        for layer in (kernel.first.weight, kernel.first.bias):
            layer[1::2] = layer[::2] + 1e-5 * layer[::2].abs()
        kernel.second.weight[:, 1::2] = -kernel.second.weight[:, ::2]
        kernel.second.bias.zero_()
    evaluator = ChebyshevEvaluator(tolerance=1e-4)
    found, exact = (each(kernel, *others) for each in (evaluator, DenseEvaluator()))
    assert (found - exact).abs().max() <= 1e-4 * exact.abs().max()


def test_constant_a() -> None:
    """Ranges without width: all query points are one."""
    kernel, query, key, values = case(2, 5, 30)
    query = query._replace(terms=tree_map(lambda t: t[:, :1].expand(-1, 5, -1), query.terms))
    assert largest_error((kernel, query, key, values), ChebyshevEvaluator(tolerance=1e-8)) <= 1e-8


def test_nothing_with_weight_is_zero() -> None:
    kernel, query, key, values = case()
    key = key._replace(weights=0 * key.weights)
    assert not ChebyshevEvaluator()(kernel, query, key, values).any()


def test_points_without_weight_cost_no_nodes() -> None:
    kernel, query, key, values = case(1, 20, 40)
    evaluator = ChebyshevEvaluator()
    evaluator(kernel, query, key, values)
    expected = evaluator.report
    far = tree_map(lambda t: torch.where((key.weights > 0).unsqueeze(-1), t, 1e3 * t), key.terms)
    evaluator(kernel, query, key._replace(terms=far), values)
    assert evaluator.report == expected


def test_a_wide_range_takes_more_nodes_and_a_huge_one_is_refused() -> None:
    evaluator = ChebyshevEvaluator(tolerance=1e-6)
    narrow, wide, huge = (case(scale=scale) for scale in (1.0, 20.0, 1e4))
    used = []
    for given in (narrow, wide):
        assert largest_error(given, evaluator) <= 1e-6
        assert evaluator.report is not None
        used.append(evaluator.report.nodes)
    assert used[1] > 2 * used[0]
    with pytest.raises(ToleranceError) as raised:
        evaluator(*huge)
    assert "with 256 nodes, for a range of" in raised.value.found
    assert raised.value.expected == "1.0e-06 with at most max_nodes = 256"
    assert "Raise the tolerance or max_nodes" in raised.value.hint


def test_the_most_nodes_are_kept_to() -> None:
    with pytest.raises(ToleranceError, match="with 8 nodes.*max_nodes = 8"):
        ChebyshevEvaluator(max_nodes=8)(*case())
    with pytest.raises(ConfigError, match="max_nodes: found 2; expected greater than or equal to 4"):
        ChebyshevEvaluator(max_nodes=2)


def test_float32_default_tolerance_is_reached_but_for_rounding() -> None:
    kernel, query, key, values = case(1, 500, 2000)
    exact = DenseEvaluator()(kernel, query, key, values)
    query, key = (Points(*tree_map(lambda t: t.float(), tuple(p[:3]))) for p in (query, key))
    found = ChebyshevEvaluator()(kernel.float(), query, key, values.float())
    assert found.dtype == torch.float32
    assert (found - exact).abs().max() <= 3e-6 * exact.abs().max()


def test_points_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given, evaluator = case(), ChebyshevEvaluator()
    whole = numbers(given, evaluator)
    monkeypatch.setattr(module, "CPU_NUMBERS", 1)
    for one, other in zip(numbers(given, evaluator), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"activation": "relu"}, "the activation relu"),
        ({"inputs": ("distance",)}, "the inputs distance"),
        ({"normalization": "softmax"}, "the normalization softmax"),
        ({"support": {"window": 0.5}}, "the support {'window': 0.5}"),
    ],
)
def test_other_kernels_are_refused(options: dict[str, Any], found: str) -> None:
    given = case(scale=1.0, **options)
    assert not ChebyshevEvaluator().evaluates(*given)
    with pytest.raises(ConfigError, match="silu, gelu, tanh") as raised:
        ChebyshevEvaluator()(*given)
    assert raised.value.found == found


def test_second_derivatives_are_refused() -> None:
    kernel, query, key, values = case()
    out = ChebyshevEvaluator()(kernel, query, key, values.requires_grad_())
    with pytest.raises(DerivativeError, match="create_graph=True"):
        torch.autograd.grad(out.sum(), values, create_graph=True)


def test_auto_never_takes_it() -> None:
    auto = AutoEvaluator()
    before = auto.candidates
    auto.offer([ChebyshevEvaluator(tolerance=1e-3)])
    assert auto.candidates == before


def test_it_runs_in_inference_mode() -> None:
    with torch.inference_mode():
        given = case()
        found, expected = (evaluator(*given) for evaluator in (ChebyshevEvaluator(tolerance=1e-8), DenseEvaluator()))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7 * float(expected.abs().max()))
