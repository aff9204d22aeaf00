from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from itnet_core import (
    Block,
    ConfigError,
    DenseEvaluator,
    Evaluator,
    Field,
    FullSampler,
    IntegralOperator,
    Kernel,
    Measure,
    MLPKernel,
    Nodes,
    Problem,
    Sampler,
    ShapeError,
    Support,
    TiledEvaluator,
    Trunk,
)
from itnet_core.operator.mlp import INPUTS, PointTerms

MakeField = Callable[..., Field]


def operator_of(**options: object) -> IntegralOperator:
    return IntegralOperator(8, MLPKernel(8, position_dim=2, heads=2), **options)  # type: ignore[arg-type]


def point_by_point(field: Field) -> Iterator[Field]:
    for point in range(field.values.shape[1]):
        part = slice(point, point + 1)
        yield Field(field.values[:, part], field.positions[:, part], field.weights[:, part])


def test_self_is_cross_with_the_field_itself(make_field: MakeField) -> None:
    operator, field = operator_of(), make_field()
    again = Field(field.values.clone(), field.positions.clone(), field.weights.clone())
    torch.testing.assert_close(operator(field).values, operator(field, again).values)


def test_both_sides_of_a_self_transform_are_one_field(make_field: MakeField, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a kernel computes its points' features once."""
    operator, field = operator_of(), make_field()
    seen = []
    project = operator.kernel.project

    def watched(query: Field, key: Field) -> Any:
        seen.append(query is key)
        return project(query, key)

    monkeypatch.setattr(operator.kernel, "project", watched)
    operator(field)
    operator(field, field)
    operator(field, make_field())
    assert seen == [True, True, False]


def test_the_parts_add_up(make_field: MakeField) -> None:
    """out = O ∫ k V u dμ + W_o u."""
    operator, query, key = operator_of(), make_field(points=4, padding=0), make_field(points=6, padding=0)
    k = operator.kernel.tile(*operator.kernel.project(query, key))
    integral = torch.einsum("bhij,bj,bjhd->bihd", k, key.weights, operator.value(key.values))

    assert operator.pointwise is not None
    expected = operator.output(integral) + operator.pointwise(query.values)
    torch.testing.assert_close(operator(query, key).values, expected)
    assert operator_of(pointwise=False).pointwise is None


def test_the_result_is_a_field_on_the_query_points(make_field: MakeField) -> None:
    query = make_field(points=4)
    out = operator_of()(query, make_field(points=6))
    assert out.positions is query.positions
    assert out.weights is query.weights


def test_shapes_that_do_not_fit_are_refused(make_field: MakeField) -> None:
    with pytest.raises(ShapeError, match="dim 8 with 3 heads"):
        IntegralOperator(8, MLPKernel(8, heads=3))
    with pytest.raises(ShapeError, match=r"IntegralOperator\(key\): found 4 channels; expected dim = 8"):
        operator_of()(make_field(), make_field(dim=4))
    with pytest.raises(ShapeError, match="batch 3"):
        operator_of()(make_field(batch=2), make_field(batch=3))
    out = IntegralOperator(8, MLPKernel(8, position_dim=2, heads=3), head_dim=5)(make_field())
    assert out.values.shape == (2, 7, 8)


class Chosen(Sampler):
    """Given nodes."""

    def __init__(self, nodes: Nodes | Field) -> None:
        super().__init__(8)
        self.nodes = nodes

    def forward(self, query: Field, key: Field) -> Field | Nodes:
        return self.nodes


@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize("evaluator", [DenseEvaluator(), TiledEvaluator(key_tile=2)], ids=["dense", "tiled"])
def test_nodes_of_each_query_equal_one_integral_a_query(
    make_field: MakeField, evaluator: Evaluator, normalization: str
) -> None:
    kernel = MLPKernel(8, position_dim=2, heads=2, normalization=normalization, support={"radius": 1.5})
    query, key = make_field(points=4, padding=0), make_field(points=9)
    indices, weights = torch.randint(9, (2, 4, 5)), torch.rand(2, 4, 5)
    operator = IntegralOperator(8, kernel, Chosen(Nodes(indices, weights)), evaluator)
    together = operator(query, key).values
    for i in range(4):
        operator.sampler = Chosen(Nodes(indices[:, i], weights[:, i]))
        torch.testing.assert_close(operator(query, key).values[:, i], together[:, i])


def test_all_points_as_nodes_are_the_full_integral(make_field: MakeField) -> None:
    operator, field = operator_of(), make_field()
    assert isinstance(operator.sampler, FullSampler)
    full = operator(field).values
    operator.sampler = Chosen(Nodes(torch.arange(7).expand(2, 7), field.weights))
    torch.testing.assert_close(operator(field).values, full)


def test_a_sampler_may_give_a_coarser_field(make_field: MakeField) -> None:
    operator, query, coarse = operator_of(), make_field(points=7), make_field(points=3)
    expected = operator(query, coarse).values
    operator.sampler = Chosen(coarse)
    torch.testing.assert_close(operator(query).values, expected)


class Separable(Kernel[Tensor, Tensor]):
    """k = ⟨x, y⟩ with its fast path, and maps of its own."""

    heads = 1

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        return query.positions, key.positions

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        return (query_terms @ key_terms.transpose(1, 2)).unsqueeze(1)

    def can_integrate(self, problem: Problem[Tensor]) -> bool:
        return problem.key.grid is not None

    def integrate(self, problem: Problem[Tensor]) -> Tensor:
        moments = torch.einsum("bmp,bm,bmhd->bphd", problem.key_terms, problem.key.weights, problem.values)
        return torch.einsum("bnp,bphd->bnhd", problem.query_terms, moments)

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        return nn.Unflatten(-1, (1, dim))

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        return nn.Flatten(-2)


def test_a_kernel_may_bring_a_fast_path_and_its_maps() -> None:
    operator = IntegralOperator(8, Separable(), pointwise=False)
    on_grid = Field.on_grid(torch.randn(2, 3, 4, 8))
    scattered = Field(on_grid.values, on_grid.positions, on_grid.weights)
    assert list(operator.parameters()) == []
    torch.testing.assert_close(operator(on_grid).values, operator(scattered).values)


def test_a_named_evaluator_takes_no_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Problem[Tensor]] = []

    def integrate(self: Separable, problem: Problem[Tensor]) -> Tensor:
        taken.append(problem)
        return problem.values

    monkeypatch.setattr(Separable, "integrate", integrate)
    field = Field.on_grid(torch.randn(2, 3, 4, 8))
    IntegralOperator(8, Separable(), evaluator=DenseEvaluator())(field)
    assert taken == []
    IntegralOperator(8, Separable())(field)
    assert len(taken) == 1


class Mean(Separable):
    """k = 1 by the counting measure, as one matrix product for the whole field, or one point at a time."""

    measure: Measure = "counting"
    support = Support(causal=0)

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        return torch.ones(len(query_terms), 1, query_terms.shape[1], key_terms.shape[1])

    def can_integrate(self, problem: Problem[Tensor]) -> bool:
        return False

    def can_transform(self, query: Field, key: Field) -> bool:
        return query is key and key.grid is not None

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor:
        return output_map(value_map(key.values * key.weights.unsqueeze(-1)).cumsum(1))

    def step(self, state: Tensor | None, query: Field, values: Tensor) -> tuple[Tensor, Tensor]:
        total = values * query.weights[..., None, None]
        total = total if state is None else state + total
        return total, total


class Uncausal(Mean):
    """A kernel that streams, without the support for it."""

    support = Support()


def test_a_kernel_may_transform_whole_fields_or_points_of_a_stream_by_its_own_measure() -> None:
    operator = IntegralOperator(8, Mean(), pointwise=False)
    values = torch.randn(2, 6, 8)
    field = Field.on_grid(values, weights=torch.tensor([[0.1, 0.2, 0.3, 0.0, 0.2, 0.2]]).expand(2, -1))
    expected = (values * (field.weights > 0).unsqueeze(-1)).cumsum(1)
    torch.testing.assert_close(operator(field).values, expected)
    torch.testing.assert_close(operator(field).weights, field.weights)
    scattered = Field(values, field.positions, field.weights)
    torch.testing.assert_close(operator(scattered).values, expected)
    state = None
    for point in range(6):
        part = slice(point, point + 1)
        one = Field(values[:, part], field.positions[:, part], field.weights[:, part] + 1)
        state, out = operator.step(state, one)
        torch.testing.assert_close(out.values, values[:, : point + 1].sum(1, keepdim=True))


def test_a_trunk_goes_one_point_at_a_time_too() -> None:
    torch.manual_seed(0)
    trunk = Trunk(Block(IntegralOperator(8, Mean())) for _ in range(2))
    field = Field.on_grid(torch.randn(2, 6, 8))
    states, steps = None, []
    for one in point_by_point(field):
        states, out = trunk.step(states, one)
        steps.append(out.values)
    torch.testing.assert_close(torch.cat(steps, dim=1), trunk(field).values)


@pytest.mark.parametrize(("pointwise", "projected"), [(True, [1, 1, 1]), (False, [1, 2, 3])])
def test_a_stream_projects_each_point_once_if_its_terms_are_its_own(pointwise: bool, projected: list[int]) -> None:
    torch.manual_seed(0)
    kernel = MLPKernel(8, position_dim=1, support=Support(causal=0), inputs=INPUTS)
    kernel.pointwise_terms = pointwise
    operator = IntegralOperator(8, kernel)
    field = Field.on_grid(torch.randn(2, 3, 8))
    points: list[int] = []
    kernel.content.register_forward_hook(lambda module, inputs, output: points.append(inputs[0].shape[1]))
    state, largest, outs = None, [], []
    for one in point_by_point(field):
        points.clear()
        state, out = operator.step(state, one)
        largest.append(max(points))
        outs.append(out.values)
    assert largest == projected
    torch.testing.assert_close(torch.cat(outs, 1), operator(field).values)


def test_what_does_not_stream_is_refused(make_field: MakeField) -> None:
    one = make_field(points=1, padding=0)
    average = Mean()
    average.measure = "mean"
    for operator, actual in (
        (operator_of(), r"Support\(.*\), which is not causal"),
        (IntegralOperator(8, Uncausal()), r"Support\(.*\), which is not causal"),
        (IntegralOperator(8, average), "the measure 'mean', which depends on later points"),
        (IntegralOperator(8, Mean(), Chosen(one)), "Chosen, which samples points"),
    ):
        with pytest.raises(ConfigError, match=f"step: found {actual}; expected a causal support"):
            operator.step(None, one)
    with pytest.raises(ShapeError, match="step.*found 7 points; expected one"):
        operator_of().step(None, make_field(points=7))


def test_the_result_may_have_other_channels(make_field: MakeField) -> None:
    assert operator_of(out_dim=5)(make_field()).values.shape == (2, 7, 5)


@pytest.mark.parametrize("evaluator", [DenseEvaluator(), TiledEvaluator(key_tile=2)], ids=["dense", "tiled"])
def test_works_under_compile(make_field: MakeField, evaluator: Evaluator) -> None:
    operator, field = operator_of(evaluator=evaluator), make_field()
    expected = torch.autograd.grad(operator(field).values.square().sum(), list(operator.parameters()))
    compiled = torch.compile(operator, backend="aot_eager")
    actual = torch.autograd.grad(compiled(field).values.square().sum(), list(operator.parameters()))
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_parameters_may_be_replaced_from_outside(make_field: MakeField) -> None:
    """`functional_call` reaches a kernel's parameters inside tiles, forward and backward."""
    operator, field = operator_of(evaluator=TiledEvaluator(key_tile=2)), make_field()
    doubled = {name: (2 * p).detach().requires_grad_() for name, p in operator.named_parameters()}
    other = operator_of()
    other.load_state_dict({**operator.state_dict(), **{n: p.detach() for n, p in doubled.items()}})
    out = torch.func.functional_call(operator, doubled, (field,)).values
    actual = torch.autograd.grad(out.sum(), list(doubled.values()))
    expected = torch.autograd.grad(other(field).values.sum(), list(other.parameters()))
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


class Watched(MLPKernel):
    """Notes the parameters that the kernel itself has while some of its tiles are computed."""

    def tile(self, query_terms: PointTerms, key_terms: PointTerms) -> Tensor:
        seen.append([id(item) for item in watched[0].parameters()])
        return super().tile(query_terms, key_terms)


watched: list[Watched] = []
seen: list[list[int]] = []


def test_a_kernels_parameters_are_its_own_while_tiles_are_computed(make_field: MakeField) -> None:
    """Another thread may be using them, or compute tiles as well."""
    operator = IntegralOperator(8, Watched(8, position_dim=2, heads=2), evaluator=TiledEvaluator(key_tile=2))
    own = [id(item) for item in operator.kernel.parameters()]
    watched[:], seen[:] = [operator.kernel], []  # type: ignore[list-item]
    operator(make_field()).values.sum().backward()
    assert seen
    assert all(item == own for item in seen)
    assert all(item.grad is not None for item in operator.parameters())


class Tied(MLPKernel):
    """One matrix under two names."""

    def __init__(self, **options: Any) -> None:
        super().__init__(8, **options)
        self.again = self.second

    def tile(self, query_terms: PointTerms, key_terms: PointTerms) -> Tensor:
        return super().tile(query_terms, key_terms) * (1 + self.again.weight.square().sum())


def test_tied_parameters_get_their_whole_gradient_by_tiles(make_field: MakeField) -> None:
    operator, field = IntegralOperator(8, Tied(position_dim=2, heads=2)), make_field()
    gradients = []
    for evaluator in (DenseEvaluator(), TiledEvaluator(key_tile=2)):
        operator.evaluator = evaluator
        gradients.append(torch.autograd.grad(operator(field).values.square().sum(), list(operator.kernel.parameters())))
    torch.testing.assert_close(*gradients)
