from __future__ import annotations

import pytest
import torch
from torch import nn

from itnet_core import (
    ConfigError,
    DenseEvaluator,
    Field,
    FullSampler,
    IntegralOperator,
    Kernel,
    MLPKernel,
    Nodes,
    Points,
    Sampler,
    ShapeError,
    Support,
    TiledEvaluator,
    Trunk,
)


def operator_of(**options: object) -> IntegralOperator:
    return IntegralOperator(8, MLPKernel(8, position_dim=2, heads=2), **options)  # type: ignore[arg-type]


def test_self_is_cross_with_the_field_itself(make_field) -> None:  # type: ignore[no-untyped-def]
    operator, field = operator_of(), make_field()
    again = Field(field.values.clone(), field.positions.clone(), field.weights.clone())
    torch.testing.assert_close(operator(field).values, operator(field, again).values)


def test_both_sides_of_a_self_transform_are_one_field(make_field, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """So that a kernel computes its points' features once."""
    operator, field = operator_of(), make_field()
    seen = []
    project = operator.kernel.project
    monkeypatch.setattr(operator.kernel, "project", lambda query, key: seen.append(query is key) or project(query, key))
    operator(field)
    operator(field, field)
    operator(field, make_field())
    assert seen == [True, True, False]


def test_the_parts_add_up(make_field) -> None:  # type: ignore[no-untyped-def]
    """out = O ∫ k V u dμ + W_o u."""
    operator, query, key = operator_of(), make_field(points=4, padding=0), make_field(points=6, padding=0)
    k = operator.kernel.tile(*operator.kernel.project(query, key))
    integral = torch.einsum("bhij,bj,bjhd->bihd", k, key.weights, operator.value(key.values))

    expected = operator.output(integral) + operator.pointwise(query.values)
    torch.testing.assert_close(operator(query, key).values, expected)
    assert operator_of(pointwise=False).pointwise is None


def test_the_result_is_a_field_on_the_query_points(make_field) -> None:  # type: ignore[no-untyped-def]
    query = make_field(points=4)
    out = operator_of()(query, make_field(points=6))
    assert out.positions is query.positions
    assert out.weights is query.weights


def test_shapes_that_do_not_fit_are_refused(make_field) -> None:  # type: ignore[no-untyped-def]
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
def test_nodes_of_each_query_equal_one_integral_a_query(make_field, evaluator, normalization: str) -> None:  # type: ignore[no-untyped-def]
    kernel = MLPKernel(8, position_dim=2, heads=2, normalization=normalization, support={"radius": 1.5})
    query, key = make_field(points=4, padding=0), make_field(points=9)
    indices, weights = torch.randint(9, (2, 4, 5)), torch.rand(2, 4, 5)
    operator = IntegralOperator(8, kernel, Chosen(Nodes(indices, weights)), evaluator)
    together = operator(query, key).values
    for i in range(4):
        operator.sampler = Chosen(Nodes(indices[:, i], weights[:, i]))
        torch.testing.assert_close(operator(query, key).values[:, i], together[:, i])


def test_all_points_as_nodes_are_the_full_integral(make_field) -> None:  # type: ignore[no-untyped-def]
    operator, field = operator_of(), make_field()
    assert isinstance(operator.sampler, FullSampler)
    full = operator(field).values
    operator.sampler = Chosen(Nodes(torch.arange(7).expand(2, 7), field.weights))
    torch.testing.assert_close(operator(field).values, full)


def test_a_sampler_may_give_a_coarser_field(make_field) -> None:  # type: ignore[no-untyped-def]
    operator, query, coarse = operator_of(), make_field(points=7), make_field(points=3)
    expected = operator(query, coarse).values
    operator.sampler = Chosen(coarse)
    torch.testing.assert_close(operator(query).values, expected)


class Separable(Kernel):
    """k = ⟨x, y⟩ with its shortcut, and maps of its own."""

    heads = 1

    def project(self, query: Field, key: Field) -> tuple[torch.Tensor, torch.Tensor]:
        return query.positions, key.positions

    def tile(self, query_terms: torch.Tensor, key_terms: torch.Tensor) -> torch.Tensor:
        return (query_terms @ key_terms.transpose(1, 2)).unsqueeze(1)

    def integrates(self, query: Points, key: Points) -> bool:
        return key.grid is not None

    def integrate(self, query: Points, key: Points, values: torch.Tensor) -> torch.Tensor:
        moments = torch.einsum("bmp,bm,bmhd->bphd", key.terms, key.weights, values)
        return torch.einsum("bnp,bphd->bnhd", query.terms, moments)

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        return nn.Unflatten(-1, (1, dim))

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        return nn.Flatten(-2)


def test_a_kernel_may_bring_a_shortcut_and_its_maps() -> None:
    operator = IntegralOperator(8, Separable(), pointwise=False)
    on_grid = Field.on_grid(torch.randn(2, 3, 4, 8))
    scattered = Field(on_grid.values, on_grid.positions, on_grid.weights)
    assert list(operator.parameters()) == []
    torch.testing.assert_close(operator(on_grid).values, operator(scattered).values)


def test_shortcuts_are_for_who_wants_any_evaluator() -> None:
    kernel = Separable()
    kernel.integrate = lambda *args: pytest.fail("a shortcut instead of the evaluator that was asked for")  # type: ignore[method-assign]
    IntegralOperator(8, kernel, evaluator=DenseEvaluator())(Field.on_grid(torch.randn(2, 3, 4, 8)))


class Mean(Separable):
    """k = 1 by the counting measure, as one matrix product for the whole field, or one point at a time."""

    measure = "counting"
    whole = streaming = True
    support = Support(causal=0)

    def tile(self, query_terms: torch.Tensor, key_terms: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(query_terms), 1, query_terms.shape[1], key_terms.shape[1])

    def integrates(self, query: Points, key: Points) -> bool:
        return False

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> torch.Tensor | None:
        if query is not key or key.grid is None:
            return None
        return output_map(value_map(key.values * key.weights.unsqueeze(-1)).cumsum(1))

    def step(self, state: object, query: Field, values: torch.Tensor) -> tuple[object, torch.Tensor]:
        total = values * query.weights[..., None, None]
        total = total if state is None else state + total
        return total, total


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
        one = [part[:, point : point + 1] for part in (values, field.positions, field.weights + 1)]
        state, out = operator.step(state, Field(*one))
        torch.testing.assert_close(out.values, values[:, : point + 1].sum(1, keepdim=True))


def test_a_trunk_goes_one_point_at_a_time_too() -> None:
    torch.manual_seed(0)
    trunk = Trunk([IntegralOperator(8, Mean()) for _ in range(2)])
    field = Field.on_grid(torch.randn(2, 6, 8))
    states, steps = None, []
    for point in range(6):
        one = Field(*(part[:, point : point + 1] for part in (field.values, field.positions, field.weights)))
        states, out = trunk.step(states, one)
        steps.append(out.values)
    torch.testing.assert_close(torch.cat(steps, dim=1), trunk(field).values)


def test_what_does_not_stream_is_refused(make_field) -> None:  # type: ignore[no-untyped-def]
    one = make_field(points=1, padding=0)
    with pytest.raises(ConfigError, match="MLPKernel with Support.*expected a kernel that streams, a causal support"):
        operator_of().step(None, one)
    with pytest.raises(ShapeError, match="step.*found 7 points; expected one"):
        operator_of().step(None, make_field(points=7))


def test_the_result_may_have_other_channels(make_field) -> None:  # type: ignore[no-untyped-def]
    assert operator_of(out_dim=5)(make_field()).values.shape == (2, 7, 5)


@pytest.mark.parametrize("evaluator", [DenseEvaluator(), TiledEvaluator(key_tile=2)], ids=["dense", "tiled"])
def test_works_under_compile(make_field, evaluator) -> None:  # type: ignore[no-untyped-def]
    operator, field = operator_of(evaluator=evaluator), make_field()
    expected = torch.autograd.grad(operator(field).values.square().sum(), list(operator.parameters()))
    compiled = torch.compile(operator, backend="aot_eager")
    found = torch.autograd.grad(compiled(field).values.square().sum(), list(operator.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_parameters_may_be_replaced_from_outside(make_field) -> None:  # type: ignore[no-untyped-def]
    """`functional_call` reaches a kernel's parameters inside tiles, forward and backward."""
    operator, field = operator_of(evaluator=TiledEvaluator(key_tile=2)), make_field()
    doubled = {name: (2 * p).detach().requires_grad_() for name, p in operator.named_parameters()}
    other = operator_of()
    other.load_state_dict({**operator.state_dict(), **{n: p.detach() for n, p in doubled.items()}})
    out = torch.func.functional_call(operator, doubled, (field,)).values
    found = torch.autograd.grad(out.sum(), list(doubled.values()))
    expected = torch.autograd.grad(other(field).values.sum(), list(other.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


class Watched(MLPKernel):
    """Notes the parameters that the kernel itself has while some of its tiles are computed."""

    def tile(self, query_terms, key_terms):  # type: ignore[no-untyped-def]
        seen.append([id(each) for each in watched[0].parameters()])
        return super().tile(query_terms, key_terms)


watched: list[Watched] = []
seen: list[list[int]] = []


def test_a_kernels_parameters_are_its_own_while_tiles_are_computed(make_field) -> None:  # type: ignore[no-untyped-def]
    """Another thread may be using them, or compute tiles as well."""
    operator = IntegralOperator(8, Watched(8, position_dim=2, heads=2), evaluator=TiledEvaluator(key_tile=2))
    own = [id(each) for each in operator.kernel.parameters()]
    watched[:], seen[:] = [operator.kernel], []  # type: ignore[list-item]
    operator(make_field()).values.sum().backward()
    assert seen
    assert all(each == own for each in seen)
    assert all(each.grad is not None for each in operator.parameters())


class Tied(MLPKernel):
    """One matrix under two names."""

    def __init__(self, **options):  # type: ignore[no-untyped-def]
        super().__init__(8, **options)
        self.again = self.second

    def tile(self, query_terms, key_terms):  # type: ignore[no-untyped-def]
        return super().tile(query_terms, key_terms) * (1 + self.again.weight.square().sum())


def test_tied_parameters_get_their_whole_gradient_by_tiles(make_field) -> None:  # type: ignore[no-untyped-def]
    operator, field = IntegralOperator(8, Tied(position_dim=2, heads=2)), make_field()
    gradients = []
    for evaluator in (DenseEvaluator(), TiledEvaluator(key_tile=2)):
        operator.evaluator = evaluator
        gradients.append(torch.autograd.grad(operator(field).values.square().sum(), list(operator.kernel.parameters())))
    torch.testing.assert_close(*gradients)
