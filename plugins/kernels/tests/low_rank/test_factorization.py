"""Factorisation of MLP kernels: exact where the rank is, honest about its error, and one call for a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from itnet_core import (
    AutoEvaluator,
    ConfigError,
    DenseEvaluator,
    Field,
    IntegralOperator,
    MLPKernel,
    ShapeError,
    TiledEvaluator,
)
from itnet_kernels import FactorizationError, GaussianKernel, SkeletonKernel, factorize, factorize_model
from itnet_kernels.low_rank.pivots import choose_pivots, errors_by_rank, fit_core
from itnet_registry import create_model, load_model, save_model
from itnet_testing.fields import scattered

DIM = 8


SMOOTH = {"activation": "tanh", "inputs": ("query", "key", "product", "displacement")}
SMALL = {"heads": 2, "hidden": 8, "rank": 3, "frequencies": 2}


def mlp(**options: Any) -> MLPKernel:
    torch.manual_seed(0)
    return MLPKernel(DIM, **{**SMALL, **SMOOTH, **options}).double()


def fields(batch: int = 4, points: int = 60) -> Field:
    return scattered(batch, points, DIM).to(torch.float64)


def pairs(kernel: Any, field: Field) -> Tensor:
    return kernel.tile(*kernel.project(field, field))


def of_rank_eight(content: str = "product") -> MLPKernel:
    """Return a kernel of rank 8: no hidden unit is ever cut off, so that k is bilinear in [1, ũ, x, ‖x‖²]."""
    kernel = mlp(activation="relu", rank=2, inputs=("query", "key", content, "displacement", "distance"))
    nn.init.normal_(kernel.first.weight, std=0.1)
    nn.init.constant_(kernel.first.bias, 20.0)
    return kernel


def smooth_matrices() -> Tensor:
    x, y = torch.linspace(0, 1, 40, dtype=torch.float64), torch.linspace(0, 1, 50, dtype=torch.float64)
    return torch.stack([1 / (1 + (x[:, None] - y).abs()), 5 * torch.exp(-3 * (x[:, None] * y))])


@pytest.mark.parametrize("content", ["product", "bilinear"])
def test_it_is_exact_for_a_kernel_of_that_rank(content: str) -> None:
    kernel, field = of_rank_eight(content), fields()
    actual = factorize(kernel, field, rank=32, tolerance=1e-8)
    assert actual.kernel.config.pivots <= 8
    assert actual.reached
    new = scattered(3, 40, DIM, seed=5).to(torch.float64)
    torch.testing.assert_close(pairs(actual.kernel, new), pairs(kernel, new), rtol=1e-6, atol=1e-6)


def test_more_pivots_than_the_rank_do_no_harm() -> None:
    kernel, field = of_rank_eight(), fields()
    actual = factorize(kernel, field, rank=32, tolerance=0.0)
    assert max(actual.errors) < 1e-9


def test_the_error_falls_with_the_rank() -> None:
    kernel, field = mlp(), fields(8, 100)
    errors = [max(factorize(kernel, field, rank=rank, tolerance=0.0).errors) for rank in (4, 16, 64)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_the_error_of_each_head_is_that_of_pairs_it_has_not_seen() -> None:
    kernel, field = mlp(), fields()
    actual = factorize(kernel, field, rank=6)
    last = Field(field.values[-1:], field.positions[-1:])
    k, approximate = pairs(kernel, last), pairs(actual.kernel, last)
    expected = (approximate - k).square().sum((0, 2, 3)).sqrt() / k.square().sum((0, 2, 3)).sqrt()
    torch.testing.assert_close(torch.tensor(actual.errors, dtype=torch.float64), expected)
    assert not actual.reached
    assert "6 pivots" in str(actual)
    assert "tolerance 1.00% not reached" in str(actual)


def test_it_stops_at_the_tolerance() -> None:
    kernel, field = mlp(), fields(8, 100)
    few, many = (factorize(kernel, field, rank=128, tolerance=tolerance) for tolerance in (0.3, 0.01))
    assert few.kernel.config.pivots < many.kernel.config.pivots < 128
    for actual in (few, many):
        assert actual.fitted[actual.kernel.config.pivots - 1].max() <= actual.tolerance
        assert actual.fitted[actual.kernel.config.pivots - 2].max() > actual.tolerance


def test_padding_is_not_sampled() -> None:
    kernel, field = mlp(), fields()
    weights = field.weights.clone()
    weights[:, ::2] = 0
    nothing = field.values.masked_fill((weights == 0).unsqueeze(-1), torch.nan)
    actual = factorize(kernel, Field(nothing, field.positions, weights), rank=8)
    assert actual.kernel.pivot_values.isfinite().all()
    assert all(error < 1 for error in actual.errors)


def test_one_sample_and_two_fields() -> None:
    kernel = mlp()
    field, other = (scattered(1, 80, DIM, seed=seed).to(torch.float64) for seed in (0, 1))
    one = factorize(kernel, field, rank=20)
    two = factorize(kernel, field, other, rank=20)
    assert max(*one.errors, *two.errors) < 0.5
    new = one.kernel.project(field, other), two.kernel.project(field, other), kernel.project(field, other)
    first, second, exact = (k.tile(*terms) for k, terms in zip((one.kernel, two.kernel, kernel), new, strict=True))
    assert torch.linalg.norm(second - exact) < 0.5 * torch.linalg.norm(exact)
    assert not torch.equal(first, second)


def test_its_gradients_are_those_of_the_sum_over_pairs() -> None:
    kernel, field = factorize(mlp(), fields(), rank=6).kernel, fields()
    torch.manual_seed(0)
    operators = [IntegralOperator(DIM, kernel, evaluator=item) for item in (AutoEvaluator(), DenseEvaluator())]
    operators[1].load_state_dict(operators[0].state_dict())
    actual = []
    for operator in (item.double() for item in operators):
        values = field.values.clone().requires_grad_()
        out = operator(field.with_values(values)).values
        actual.append((out, *torch.autograd.grad(out.square().sum(), [values, *kernel.parameters()])))
    torch.testing.assert_close(*actual, rtol=1e-9, atol=1e-10)
    assert all(bool((item != 0).any()) for item in actual[0])


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        (lambda: mlp(support={"causal": "t"}), "removes pairs"),
        (lambda: mlp(normalization="softmax"), "normalization 'softmax'"),
        (lambda: GaussianKernel(DIM), "GaussianKernel, which is not an MLPKernel"),
    ],
)
def test_kernels_without_low_rank_are_refused(kernel: Any, reason: str) -> None:
    with pytest.raises(FactorizationError, match=reason):
        factorize(kernel(), fields())


@pytest.mark.parametrize("mlp", [{"support": {"radius": 1.0}}, {"normalization": "softmax"}])
def test_a_configuration_that_does_not_separate_is_refused(mlp: Any) -> None:
    with pytest.raises(ConfigError, match="every pair in the support and normalization 'none'"):
        SkeletonKernel(DIM, mlp=mlp)


def test_too_few_points_and_another_space_are_refused() -> None:
    with pytest.raises(FactorizationError, match="at least two points"):
        factorize(mlp(), fields(1, 1))
    with pytest.raises(ShapeError, match=r"2 coordinates; expected mlp.position_dim = 4"):
        IntegralOperator(DIM, SkeletonKernel(DIM))(Field(torch.randn(1, 5, DIM), torch.rand(1, 5, 2)))


def test_no_tensor_of_pairs_is_made() -> None:
    """300,000 points: a tensor of their pairs would take 360 GB."""
    kernel = SkeletonKernel(2, pivots=2, mlp={"heads": 1, "hidden": 2, "rank": 1, "frequencies": 1})
    field = Field(torch.randn(1, 300_000, 2), torch.rand(1, 300_000, 4))
    with torch.no_grad():
        assert IntegralOperator(2, kernel)(field).values.isfinite().all()


def test_the_core_is_the_best_and_the_pivots_are_near_it() -> None:
    matrices = smooth_matrices()
    rows, columns = choose_pivots(matrices, 8, 0.0)
    actual = errors_by_rank(matrices, rows, columns)
    singular = torch.linalg.svdvals(matrices).square()
    for rank in range(1, 9):
        chosen, between = rows[:rank], columns[:rank]
        left = matrices - matrices[:, :, between] @ fit_core(matrices, chosen, between, 1e-12) @ matrices[:, chosen]
        error = torch.linalg.matrix_norm(left) / torch.linalg.matrix_norm(matrices)
        torch.testing.assert_close(actual[rank - 1], error, rtol=1e-3, atol=1e-7)
        best = (singular[:, rank:].sum(1) / singular.sum(1)).sqrt()
        assert bool((error >= best - 1e-9).all())
        assert bool((error <= 8 * best + 1e-6).all())


def test_pivots_stop_at_the_rank_and_for_zero_matrices() -> None:
    matrices = torch.randn(2, 30, 3, dtype=torch.float64) @ torch.randn(3, 20, dtype=torch.float64)
    assert [len(item) for item in choose_pivots(matrices, 10, 0.0)] == [
        6,
        6,
    ]  # the rows of both heads together have rank 6
    assert [len(item) for item in choose_pivots(torch.zeros(2, 5, 4), 3, 0.0)] == [1, 1]


def classifier(**options: Any) -> Any:
    torch.manual_seed(0)
    encoder = {"name": "itnet-core/field", "channels": 3}
    kernel = {"name": "itnet-core/mlp", **SMALL, **SMOOTH, **options}
    head = {"name": "classify", "classes": 3}
    return create_model(width=DIM, depth=2, encoder=encoder, kernel=kernel, head=head).eval()


def test_a_models_kernels_are_replaced_and_saved(tmp_path: Path) -> None:
    model, field = classifier(), scattered(8, 50, 3)
    expected = model(field)
    report = factorize_model(model, field, rank=48, tolerance=1e-3)
    assert list(report.factorized) == ["trunk.blocks.0.operator", "trunk.blocks.1.operator"]
    assert len({item.kernel.config.pivots for item in report.factorized.values()}) == 1
    assert str(report).startswith("2 factorized, 0 left\n  trunk.blocks.0.operator: ")
    worst = max(max(item.errors) for item in report.factorized.values())
    assert worst < 0.05
    assert torch.linalg.norm(model(field) - expected) < 2 * worst * torch.linalg.norm(expected)
    assert not torch.equal(model(field), expected)
    save_model(model, tmp_path / "model")
    again: Any = load_model(tmp_path / "model")
    assert isinstance(again.trunk.blocks[1].operator.kernel, SkeletonKernel)
    torch.testing.assert_close(again(field), model(field), rtol=0, atol=0)


def test_a_model_replaces_the_kernels_of_all_its_operators_or_none() -> None:
    model = classifier()
    kernels = {f"trunk.blocks.{n}.operator": SkeletonKernel(DIM, pivots=3 + n) for n in range(2)}
    for some in ({"trunk.norm": SkeletonKernel(DIM)}, dict(list(kernels.items())[:1]), kernels):
        with pytest.raises(ConfigError, match="replace_kernels: found .*; expected kernels of one configuration"):
            model.replace_kernels("itnet-kernels/skeleton", some)
    assert model.config["trunk"][0]["kernel"]["name"] == "itnet-core/mlp"


def test_each_entry_of_a_trunk_is_factorized_for_itself() -> None:
    mlp = {"name": "mlp", "heads": 2}
    trunk = [{"kernel": mlp}, {"kernel": {**mlp, "normalization": "softmax"}}, {"kernel": {**mlp, "hidden": 4}}]
    encoder = {"name": "field", "channels": 3}
    model: Any = create_model(width=DIM, trunk=trunk, encoder=encoder, heads={}).eval()
    report = factorize_model(model, scattered(8, 50, 3), rank=8)
    assert (list(report.factorized), list(report.left)) == (
        ["trunk.blocks.0.operator", "trunk.blocks.2.operator"],
        ["trunk.blocks.1.operator"],
    )
    names = [entry["kernel"]["name"] for entry in model.config["trunk"]]
    assert names == ["itnet-kernels/skeleton", "itnet-core/mlp", "itnet-kernels/skeleton"]


def test_a_models_operators_have_as_many_pivots_as_one_needs() -> None:
    model, field = classifier(), scattered(8, 50, 3)
    report = factorize_model(model, field, rank=200, tolerance=0.1)
    needed = [int((actual.fitted.amax(1) <= 0.1).nonzero()[0]) + 1 for actual in report.factorized.values()]
    assert {item.kernel.config.pivots for item in report.factorized.values()} == {max(needed)}


@pytest.mark.parametrize(
    ("options", "reason"), [({"support": {"causal": "t"}}, "removes pairs"), ({"normalization": "softmax"}, "softmax")]
)
def test_a_model_that_does_not_separate_is_unchanged(options: Any, reason: str) -> None:
    model, field = classifier(**options), scattered(8, 20, 3)
    expected, config = model(field), model.config
    report = factorize_model(model, field)
    assert not report.factorized
    assert not report.reached
    assert reason in report.left["trunk.blocks.0.operator"]
    assert model.config is config
    assert torch.equal(model(field), expected)


class Stranger(nn.Module):
    """A model of nobody's: one operator that suits, and three that do not."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = IntegralOperator(DIM, mlp()).double()
        self.twice = IntegralOperator(DIM, mlp()).double()
        self.idle = IntegralOperator(DIM, mlp()).double()
        self.slow = IntegralOperator(DIM, mlp(), evaluator=TiledEvaluator()).double()

    def forward(self, field: Field, other: Field) -> Field:
        return self.slow(self.twice(self.twice(self.plain(field, key=other))))


def test_a_plain_module_is_factorised_where_possible() -> None:
    model, field, other = Stranger().train(), fields(4, 30), fields(4, 50)
    report = factorize_model(model, field, other, rank=16)
    assert list(report.factorized) == ["plain"]
    assert isinstance(model.plain.kernel, SkeletonKernel)
    assert model.training
    assert model.plain.kernel.training
    assert "called 2 times" in report.left["twice"]
    assert "called 0 times" in report.left["idle"]
    assert "TiledEvaluator takes no fast paths" in report.left["slow"]
    assert "idle: left: called 0 times" in str(report)


def test_a_kernel_of_low_rank_gets_duplicate_pivots() -> None:
    kernel, field = of_rank_eight(), fields()
    few, many = (
        factorize(kernel, field, rank=32, tolerance=1e-8, min_pivots=min_pivots).kernel for min_pivots in (1, 40)
    )
    assert many.config.pivots == 40
    torch.testing.assert_close(pairs(many, field), pairs(few, field))
    nn.init.zeros_(kernel.second.weight)
    assert factorize(kernel, field, min_pivots=5).kernel.config.pivots == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, r"factorize\(rank\): found 0"),
        ({"tolerance": float("nan")}, r"factorize\(tolerance\): found nan"),
        ({"points": 0}, r"factorize\(points\): found 0"),
        (
            {"key": fields(3)},
            r"factorize\(key\): found torch.float64 of shape \(3, 60, 8\)",
        ),
        ({"query": fields().with_values(torch.full((4, 60, DIM), torch.nan).double())}, "values that are not finite"),
        ({"query": scattered(4, 60, DIM)}, r"torch.float32 of shape \(4, 60, 8\); expected torch.float64"),
    ],
)
def test_invalid_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FactorizationError, match=message):
        factorize(mlp(), **{"query": fields(), **options})


def test_frozen_parameters_and_modes_are_kept() -> None:
    operator = IntegralOperator(DIM, mlp()).double()
    operator.kernel.requires_grad_(False)
    model = nn.ModuleDict({"operator": operator, "still": nn.Dropout().eval()})
    model.forward = lambda field, key: operator(key=key, query=field)
    factorize_model(model.train(), fields(points=50), fields(points=70), rank=4)
    kernel: Any = operator.kernel
    assert isinstance(kernel, SkeletonKernel)
    assert not any(parameter.requires_grad for parameter in kernel.parameters())
    assert kernel.evaluator is operator.evaluator
