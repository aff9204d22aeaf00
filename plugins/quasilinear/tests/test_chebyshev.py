from __future__ import annotations

import logging
from dataclasses import replace
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
    LocalEvaluator,
    MLPKernel,
    Points,
    PointTerms,
    Problem,
    TiledEvaluator,
)
from itnet_quasilinear import ChebyshevEvaluator, ToleranceError
from itnet_quasilinear import smooth_sums as module

ADDITIVE: dict[str, Any] = {"inputs": ("query", "key", "displacement")}
Case = Problem[PointTerms]


def case(batch: int = 2, n: int = 60, m: int = 90, scale: float = 3.0, seed: int = 0, **options: Any) -> Case:
    """Return a problem of random points in float64; `scale` multiplies the first layer."""
    torch.manual_seed(seed)
    kernel = MLPKernel(8, heads=2, hidden=6, **{**ADDITIVE, "activation": "silu", **options}).double()
    with torch.no_grad():
        kernel.first.weight *= scale
    query, key = (Field(torch.randn(batch, k, 8), torch.rand(batch, k, 4)).to(torch.float64) for k in (n, m))
    key = Field(key.values, key.positions, key.weights * (torch.arange(m) % 4 != 1))
    with torch.no_grad():
        return kernel.problem(query, key, torch.randn(batch, m, 2, 3, dtype=torch.float64))


def mlp(problem: Case) -> MLPKernel:
    """Return the kernel of a problem."""
    assert isinstance(problem.kernel, MLPKernel)
    return problem.kernel


def weighing(problem: Case, weights: Tensor) -> Case:
    """Return the problem with other weights of the keys."""
    return replace(problem, key=Points(problem.key.positions, weights))


def numbers(problem: Case, evaluator: Evaluator) -> list[Tensor]:
    """Return the result, and its gradients to terms (but for the constant feature), values, weights and parameters."""
    kernel, tensors = mlp(problem), (*problem.query_terms, *problem.key_terms, problem.values, problem.key.weights)
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    x, x_positions, y, y_positions, values, weights = leaves
    key, query_terms, key_terms = (
        Points(problem.key.positions, weights),
        PointTerms(x, x_positions),
        PointTerms(y, y_positions),
    )
    out = evaluator(Problem(kernel, problem.query, key, query_terms, key_terms, values))
    parameters = [*kernel.first.parameters(), *kernel.second.parameters()]
    target = out.flatten() @ torch.linspace(-1, 1.5, out.numel(), dtype=out.dtype)
    found = list(torch.autograd.grad(target, [*leaves, *parameters]))
    return [out.detach(), found[0][..., 1:], found[1], found[2][..., 1:], *found[3:]]


def largest_error(problem: Case, evaluator: Evaluator) -> float:
    """Return the largest error, relative to the largest number of each tensor."""
    pairs = zip(numbers(problem, evaluator), numbers(problem, DenseEvaluator()), strict=True)
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)


def nodes(evaluator: ChebyshevEvaluator, problem: Case) -> int:
    """Return how many nodes a problem takes with gradients."""
    values = problem.values.detach().requires_grad_()
    _, report = evaluator.evaluate_with_report(replace(problem, values=values))
    return report.nodes


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
        problem = case(n=60, m=90, scale=scale, seed=seed, activation=activation)
        kernel = mlp(problem)
        with torch.no_grad():
            noise = apart * torch.randn_like(kernel.first.weight[:3])
            kernel.first.weight[3:] = kernel.first.weight[:3] + noise
            kernel.first.bias[3:] = kernel.first.bias[:3]
            kernel.second.weight[:, 3:] = -kernel.second.weight[:, :3]
            kernel.second.bias.zero_()
        found = largest_error(problem, ChebyshevEvaluator(tolerance=1e-6))
        assert found <= 1e-6, f"{activation}, {scale}, {seed}: {found:.2g}"


def test_a_tolerance_costs_no_more_nodes_than_it_needs() -> None:
    used = []
    for tolerance in (1e-3, 1e-6, 1e-9):
        evaluator = ChebyshevEvaluator(tolerance=tolerance)
        assert largest_error(case(), evaluator) > 1e-4 * tolerance
        used.append(nodes(evaluator, case()))
    assert used == sorted(set(used))


def test_the_report_has_the_error_of_the_rows() -> None:
    problem = case(1)
    evaluator = ChebyshevEvaluator(tolerance=1e-3, rows=100)  # more than there are: all 60
    with torch.no_grad():
        found, report = evaluator.evaluate_with_report(problem)
        assert torch.equal(evaluator(problem), found)
    exact = DenseEvaluator()(problem)
    weighted, _ = problem.weighted_values()
    constant = mlp(problem).second.bias.view(1, 1, 2, 1) * weighted.sum(1, keepdim=True)
    assert report.rows == 60
    expected = (found - exact).detach().abs().max() / (exact - constant).detach().abs().max()
    assert report.error == pytest.approx(float(expected), rel=1e-6)
    assert 0 < report.error < 1e-3
    assert 0 < report.bound < 1e-3


def test_the_report_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    evaluator = ChebyshevEvaluator()
    with caplog.at_level(logging.DEBUG, "itnet_quasilinear"):
        evaluator(case())
    _, report = evaluator.evaluate_with_report(case())
    assert str(report) in caplog.messages[0]


def test_hidden_units_that_cancel_get_more_nodes() -> None:
    """The error is one of the sums: where two units cancel all but a 10⁻⁵th, the nodes of σ alone would not do."""
    problem = case(1)
    kernel = mlp(problem)
    with torch.no_grad():
        for layer in (kernel.first.weight, kernel.first.bias):
            layer[1::2] = layer[::2] + 1e-5 * layer[::2].abs()
        kernel.second.weight[:, 1::2] = -kernel.second.weight[:, ::2]
        kernel.second.bias.zero_()
    evaluator = ChebyshevEvaluator(tolerance=1e-4)
    found, exact = evaluator(problem), DenseEvaluator()(problem)
    assert (found - exact).abs().max() <= 1e-4 * exact.abs().max()


def test_constant_a() -> None:
    """Ranges without width: all query points are one."""
    problem = case(2, 5, 30)
    one = tree_map(lambda t: t[:, :1].expand(-1, 5, -1), problem.query_terms)
    assert largest_error(replace(problem, query_terms=one), ChebyshevEvaluator(tolerance=1e-8)) <= 1e-8


def test_nothing_with_weight_is_zero() -> None:
    problem = case()
    assert not ChebyshevEvaluator()(weighing(problem, 0 * problem.key.weights)).any()


def test_points_without_weight_cost_no_nodes() -> None:
    problem, evaluator = case(1, 20, 40), ChebyshevEvaluator()
    _, expected = evaluator.evaluate_with_report(problem)
    far = tree_map(lambda t: torch.where((problem.key.weights > 0).unsqueeze(-1), t, 1e3 * t), problem.key_terms)
    _, report = evaluator.evaluate_with_report(replace(problem, key_terms=far))
    assert report == expected


def test_a_wide_range_takes_more_nodes_and_a_huge_one_is_refused() -> None:
    evaluator = ChebyshevEvaluator(tolerance=1e-6)
    narrow, wide, huge = (case(scale=scale) for scale in (1.0, 20.0, 1e4))
    used = []
    for problem in (narrow, wide):
        assert largest_error(problem, evaluator) <= 1e-6
        used.append(nodes(evaluator, problem))
    assert used[1] > 2 * used[0]
    with pytest.raises(ToleranceError) as raised:
        evaluator(huge)
    assert "with 256 nodes, for a range of" in raised.value.found
    assert raised.value.expected == "1.0e-06 with at most max_nodes = 256"
    assert "Raise the tolerance or max_nodes" in raised.value.hint


def test_the_most_nodes_are_kept_to() -> None:
    with pytest.raises(ToleranceError, match="with 8 nodes.*max_nodes = 8"):
        ChebyshevEvaluator(max_nodes=8)(case())
    with pytest.raises(ConfigError, match="max_nodes: found 2; expected greater than or equal to 4"):
        ChebyshevEvaluator(max_nodes=2)


def test_float32_default_tolerance_is_reached_but_for_rounding() -> None:
    problem = case(1, 500, 2000)
    exact = DenseEvaluator()(problem)
    terms = problem.query_terms, problem.key_terms, problem.values, problem.key.positions, problem.key.weights
    query_terms, key_terms, values, *key = tree_map(lambda t: t.float(), terms)
    found = ChebyshevEvaluator()(
        Problem(mlp(problem).float(), problem.query, Points(*key), query_terms, key_terms, values)
    )
    assert found.dtype == torch.float32
    assert (found - exact).abs().max() <= 3e-6 * exact.abs().max()


def test_points_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, evaluator = case(), ChebyshevEvaluator()
    whole = numbers(problem, evaluator)
    monkeypatch.setattr(module, "CPU_NUMBERS", 1)
    for one, other in zip(numbers(problem, evaluator), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("options", "found", "expected"),
    [
        ({"activation": "relu"}, "the activation relu", "one of silu, gelu, tanh"),
        ({"inputs": ("distance",)}, "the inputs distance", "inputs among displacement, key, query"),
        ({"normalization": "softmax"}, "the normalization softmax", "none"),
        ({"support": {"window": 0.5}}, "the support {'window': 0.5}", "every pair"),
    ],
)
def test_other_kernels_are_refused(options: dict[str, Any], found: str, expected: str) -> None:
    problem = case(scale=1.0, **options)
    assert not ChebyshevEvaluator().supports(problem)
    with pytest.raises(ConfigError, match="^ChebyshevEvaluator: .*Use the evaluator 'auto' or 'tiled'") as raised:
        ChebyshevEvaluator()(problem)
    assert (raised.value.found, raised.value.expected) == (found, expected)


def test_second_derivatives_are_refused() -> None:
    problem = case()
    values = problem.values.requires_grad_()
    out = ChebyshevEvaluator()(problem)
    with pytest.raises(DerivativeError, match="create_graph=True"):
        torch.autograd.grad(out.sum(), values, create_graph=True)


def test_auto_never_takes_it() -> None:
    auto = AutoEvaluator(evaluators=[ChebyshevEvaluator(tolerance=1e-3)])
    assert [type(evaluator) for evaluator in auto.evaluators] == [LocalEvaluator, DenseEvaluator, TiledEvaluator]


def test_it_runs_in_inference_mode() -> None:
    with torch.inference_mode():
        problem = case()
        found, expected = ChebyshevEvaluator(tolerance=1e-8)(problem), DenseEvaluator()(problem)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7 * float(expected.abs().max()))
