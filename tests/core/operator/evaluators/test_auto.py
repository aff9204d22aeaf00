"""The dispatcher: who computes an integral, and why not the others."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from itnet_core import (
    AutoEvaluator,
    ConfigError,
    DenseEvaluator,
    DerivativeError,
    Evaluator,
    Field,
    IntegralOperator,
    Kernel,
    LocalEvaluator,
    MLPKernel,
    Nodes,
    Problem,
    Sampler,
    ShapeError,
    TiledEvaluator,
    Unsupported,
)
from itnet_core.operator.evaluators import installed

DIM = 4
LOCAL = "found no radius or window; expected a support with one"


class Gaussian(Kernel[Tensor, None]):
    """The kernel of `Kernel`'s example, without a fast path."""

    heads = 1

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        return query.positions, key.positions

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        return torch.cdist(query_terms, key_terms).square().neg().exp().unsqueeze(1)


class Integrating(Gaussian):
    """It has `integrate`, for grids."""

    def can_integrate(self, problem: Problem[Tensor]) -> bool:
        return problem.key.grid is not None

    def integrate(self, problem: Problem[Tensor]) -> Tensor:
        return DenseEvaluator()(problem)


class Transforming(Integrating):
    """It has `transform` too, for self transforms on grids."""

    def can_transform(self, query: Field, key: Field) -> bool:
        return query is key and key.grid is not None

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor:
        return output_map(DenseEvaluator()(self.problem(query, key, value_map(key.values))))


class Scaled(Transforming):
    """An argument of `project` scales the distances."""

    def project(self, query: Field, key: Field, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        return scale * query.positions, scale * key.positions


class Early(DenseEvaluator):
    """For kernels that are not Gaussian."""

    rank: ClassVar[int | None] = 10
    transformable: ClassVar[bool] = False

    def unsupported(self, problem: Problem) -> Unsupported | None:
        return Unsupported("a Gaussian", "another kernel") if isinstance(problem.kernel, Gaussian) else None


class Many(DenseEvaluator):
    """For many points."""

    rank: ClassVar[int | None] = 20
    transformable: ClassVar[bool] = False

    def is_efficient(self, problem: Problem) -> bool:
        return problem.shape[2] >= 100


class Named(DenseEvaluator):
    """Chosen by name only."""

    rank: ClassVar[int | None] = None


def operator_of(kernel: Kernel, *others: Evaluator, sampler: Sampler | None = None) -> IntegralOperator:
    return IntegralOperator(DIM, kernel, sampler, AutoEvaluator(evaluators=others))


def scattered(points: int = 9) -> Field:
    return Field(torch.randn(2, points, DIM), torch.rand(2, points, 2))


def on_grid() -> Field:
    return Field.on_grid(torch.randn(2, 3, 3, DIM))


def mlp() -> MLPKernel:
    return MLPKernel(DIM, heads=2, position_dim=2)


def test_candidates_are_in_the_order_of_their_ranks() -> None:
    auto = AutoEvaluator(evaluators=[Many(), Named(), Early(), DenseEvaluator()])
    actual = [type(evaluator) for evaluator in auto.evaluators]
    assert actual == [Early, Many, LocalEvaluator, DenseEvaluator, TiledEvaluator]
    tiled = TiledEvaluator(key_tile=5)
    assert AutoEvaluator(evaluators=[tiled]).evaluators[2:] == (tiled,)


def test_the_first_efficient_one_is_chosen_and_the_reasons_of_the_others_are_given() -> None:
    operator = operator_of(Gaussian(), Early(), Many())
    assert str(operator.explain_choice(scattered())).splitlines() == [
        "kernel.transform  Gaussian has none",
        "kernel.integrate  Gaussian has none",
        "Early             found a Gaussian; expected another kernel",
        "Many              not efficient for this size",
        f"LocalEvaluator    {LOCAL}",
        "DenseEvaluator    chosen",
        "TiledEvaluator    ranked after the chosen one",
    ]
    choice = operator.explain_choice(scattered(), scattered(100))
    assert choice.chosen == "Many"
    assert choice.candidates[5].reason == "ranked after the chosen one"
    assert operator_of(mlp(), Early(), Many()).explain_choice(scattered()).chosen == "Early"


def test_without_an_efficient_one_the_last_that_supports_a_problem_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TiledEvaluator, "is_efficient", lambda self, problem: False)
    monkeypatch.setattr("itnet_core.operator.evaluators.dense.DENSE_BYTES", 0)
    choice = operator_of(Gaussian(), Many()).explain_choice(scattered())
    assert choice.chosen == "TiledEvaluator"
    reasons = [candidate.reason for candidate in choice.candidates[2:-1]]
    assert reasons == ["not efficient for this size", LOCAL, "not efficient for this size"]


def test_fast_paths_come_first() -> None:
    operator = operator_of(Transforming(), Many())
    field = on_grid()
    assert operator.explain_choice(field).candidates == (("kernel.transform", ""),)
    choice = operator.explain_choice(field, on_grid())
    assert choice.chosen == "kernel.integrate"
    assert choice.candidates[0] == ("kernel.transform", "can_transform is False for these fields")
    assert [candidate.reason for candidate in choice.candidates[3:]] == [LOCAL, *["ranked after the chosen one"] * 2]
    choice = operator.explain_choice(scattered())
    assert choice.chosen == "DenseEvaluator"
    assert choice.candidates[1] == ("kernel.integrate", "can_integrate is False for these points")


def test_the_explained_choice_is_the_one_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the fast paths and evaluators, where `explain_choice` names it."""
    called: list[str] = []

    def watch(owner: type, method: str, name: str) -> None:
        original = getattr(owner, method)

        def watched(self: Any, *args: Any) -> Any:
            called.append(name)
            return original(self, *args)

        monkeypatch.setattr(owner, method, watched)

    watch(Transforming, "transform", "kernel.transform")
    watch(Integrating, "integrate", "kernel.integrate")
    for evaluator in (Early, Many, TiledEvaluator):
        monkeypatch.setattr(evaluator, "evaluate", evaluator.evaluate)
        watch(evaluator, "evaluate", evaluator.__name__)
    chosen = set()
    for kernel, query, key in (
        (Transforming(), grid := on_grid(), grid),
        (Transforming(), grid, on_grid()),
        (mlp(), grid, grid),
        (Gaussian(), grid, scattered(100)),
    ):
        operator = operator_of(kernel, Early(), Many())
        called.clear()
        operator(query, key)
        assert called[0] == operator.explain_choice(query, key).chosen
        chosen.add(called[0])
    assert chosen == {"kernel.transform", "kernel.integrate", "Early", "Many"}


class First(Sampler):
    """The first points, as nodes or as a field."""

    def __init__(self, nodes: bool) -> None:
        super().__init__(DIM)
        self.nodes = nodes

    def forward(self, query: Field, key: Field) -> Field | Nodes:
        if self.nodes:
            return Nodes(torch.arange(5).expand(2, -1), key.weights[:, :5])
        return Field(key.values[:, :5], key.positions[:, :5], key.weights[:, :5])


def test_a_transform_is_not_for_nodes_or_arguments_of_project() -> None:
    operator = operator_of(Transforming(), sampler=First(nodes=True))
    transform, integrate, *_ = operator.explain_choice(on_grid()).candidates
    assert transform.reason == "the sampler returns nodes"
    assert integrate.reason == "can_integrate is False for these points"  # nodes are no grid
    transform, *_ = operator_of(Transforming(), sampler=First(nodes=False)).explain_choice(on_grid()).candidates
    assert transform.reason == "can_transform is False for these fields"
    transform, *_ = operator_of(Scaled()).explain_choice(on_grid(), scale=2.0).candidates
    assert transform.reason == "the call has arguments of `project`"


def test_under_a_transform_only_what_is_transformable_is_chosen() -> None:
    field, reasons = on_grid(), []

    def explained(values: Tensor) -> Tensor:
        choice = operator_of(Transforming(), Many()).explain_choice(field.with_values(values), scattered(100))
        reasons.append(dict(choice.candidates))
        return values.sum()

    torch.func.grad(explained)(field.values)
    assert reasons == [
        {
            "kernel.transform": "not transformable, under a transform of torch.func",
            "kernel.integrate": "not transformable, under a transform of torch.func",
            "Many": "not transformable, under a transform of torch.func",
            "LocalEvaluator": "not transformable, under a transform of torch.func",
            "DenseEvaluator": "",
            "TiledEvaluator": "not transformable, under a transform of torch.func",
        }
    ]
    operator = IntegralOperator(DIM, Gaussian(), evaluator=Many())
    with pytest.raises(DerivativeError, match="Many: found a transform of torch.func; expected plain tensors"):
        torch.func.grad(lambda values: operator(field.with_values(values)).values.sum())(field.values)


def test_a_named_evaluator_is_the_choice() -> None:
    operator = IntegralOperator(DIM, Transforming(), evaluator=TiledEvaluator())
    assert operator.explain_choice(on_grid()).candidates == (
        ("kernel.transform", "TiledEvaluator takes no fast paths"),
        ("TiledEvaluator", ""),
    )


def test_fields_that_do_not_fit_are_refused_before_a_choice() -> None:
    with pytest.raises(ShapeError, match="found 5 channels"):
        operator_of(Gaussian()).explain_choice(Field(torch.zeros(1, 3, 5), torch.zeros(1, 3, 2)))


def test_an_unsupported_problem_is_refused_by_the_base_class() -> None:
    field = scattered()
    problem = Gaussian().problem(field, field, field.values.unsqueeze(2))
    assert not Early().supports(problem)
    message = r"^Early: found a Gaussian; expected another kernel\. Use the evaluator 'auto' or 'tiled'\.$"
    with pytest.raises(ConfigError, match=message):
        Early()(problem)
    assert Many().supports(problem)
    torch.testing.assert_close(Many()(problem), DenseEvaluator()(problem))


def test_the_choice_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "itnet_core"):
        operator_of(Gaussian())(scattered())
    assert caplog.messages == ["DenseEvaluator for Gaussian (none) of 9 x 9 points, batch 2, torch.float64"]


@pytest.fixture
def provided(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the registry's entry point were installed, and provided `Early` and `Named`."""

    def entry_points(group: str) -> list[EntryPoint]:
        assert group == "itnet.evaluators"
        return [EntryPoint("test", f"{__name__}:provider", group)]

    monkeypatch.setattr(installed, "entry_points", entry_points)
    monkeypatch.setattr(EntryPoint, "load", lambda self: provider)
    installed.installed_evaluators.cache_clear()
    yield
    monkeypatch.undo()
    installed.installed_evaluators.cache_clear()


def provider() -> tuple[Evaluator, ...]:
    return Early(), Named()


@pytest.mark.usefixtures("provided")
def test_an_operator_built_by_hand_chooses_among_the_installed_evaluators() -> None:
    assert [type(evaluator) for evaluator in AutoEvaluator().evaluators] == [
        Early,
        LocalEvaluator,
        DenseEvaluator,
        TiledEvaluator,
    ]
    operator = IntegralOperator(DIM, mlp())
    assert operator.explain_choice(scattered()).chosen == "Early"
    assert operator_of(mlp()).explain_choice(scattered()).chosen == "DenseEvaluator"


def test_without_a_provider_the_core_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "entry_points", lambda group: [])
    installed.installed_evaluators.cache_clear()
    try:
        actual = [type(evaluator) for evaluator in AutoEvaluator().evaluators]
        assert actual == [LocalEvaluator, DenseEvaluator, TiledEvaluator]
    finally:
        installed.installed_evaluators.cache_clear()
