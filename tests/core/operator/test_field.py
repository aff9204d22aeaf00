from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from itnet_core import DenseEvaluator, Edges, Field, FieldError, MLPKernel, Problem, union
from itnet_core.operator.mlp import PointTerms

MakeField = Callable[..., Field]


def test_default_weights_are_the_mean_measure() -> None:
    field = Field(torch.randn(2, 5, 3), torch.randn(2, 5, 2))
    assert torch.equal(field.weights, torch.full((2, 5), 0.2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": torch.zeros(4, 3)}, r"Field.values: found torch.float32 of shape \(4, 3\)"),
        ({"values": torch.zeros(2, 4, 3, dtype=torch.int64)}, "Field.values: found torch.int64"),
        ({"values": torch.zeros(2, 0, 3)}, "at least one point"),
        ({"positions": torch.zeros(2, 5, 2)}, r"Field.positions: found shape \(2, 5, 2\)"),
        ({"positions": torch.full((2, 4, 2), torch.nan)}, r"8 points that are not finite, the first at \(0, 0\)"),
        ({"positions": torch.full((2, 4, 2), torch.inf)}, "not finite"),
        ({"weights": torch.ones(2, 5)}, r"Field.weights: found torch.float32 of shape \(2, 5\)"),
        ({"weights": -torch.ones(2, 4)}, "negative or not finite"),
        ({"weights": torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]])}, "no mass in sample 1"),
        ({"grid": (2, 3)}, "6 points"),
    ],
)
def test_bad_input_is_refused_by_name(change: dict[str, object], message: str) -> None:
    good = {"values": torch.zeros(2, 4, 3), "positions": torch.zeros(2, 4, 2), "weights": torch.ones(2, 4)}
    with pytest.raises(FieldError, match=message):
        Field(**(good | change))  # type: ignore[arg-type]


def test_a_grid_keeps_its_domain_at_every_resolution() -> None:
    coarse, fine = (Field.on_grid(torch.zeros(1, n, 2 * n, 1)) for n in (3, 6))
    blocks = fine.positions.view(3, 2, 6, 2, 2).mean((1, 3)).flatten(0, 1)
    torch.testing.assert_close(blocks, coarse.positions[0])
    assert fine.grid == (6, 12)
    assert fine.positions.abs().max() < 1


def test_axes_place_a_grid_in_space_time() -> None:
    field = Field.on_grid(torch.zeros(1, 2, 4, 1), axes="yx")
    t, x, y, z = field.positions[0].unbind(-1)
    assert not t.any()
    assert not z.any()
    torch.testing.assert_close(x, torch.tensor([-0.75, -0.25, 0.25, 0.75]).repeat(2))
    torch.testing.assert_close(y, torch.tensor([-0.5, 0.5]).repeat_interleave(4))


@pytest.mark.parametrize("axes", ["y", "yy", "yq", "yxt"])
def test_axes_that_do_not_match_are_refused(axes: str) -> None:
    with pytest.raises(FieldError, match="axes"):
        Field.on_grid(torch.zeros(1, 2, 4, 1), axes=axes)


def test_positions_keep_at_least_single_precision() -> None:
    assert Field.on_grid(torch.zeros(1, 4, 1, dtype=torch.bfloat16)).positions.dtype == torch.float32


def test_measures(make_field: MakeField) -> None:
    field = make_field(points=9)
    mean, counting = field.with_measure("mean"), field.with_measure("counting")
    torch.testing.assert_close(mean.weights.sum(-1), torch.ones(2))
    assert torch.equal(counting.weights, field.mask.double())
    assert torch.equal(mean.mask, field.mask)
    assert field.with_measure("given") is field


def test_a_grid_takes_given_weights() -> None:
    weights = torch.tensor([[1.0, 2.0, 3.0, 0.0]])
    assert torch.equal(Field.on_grid(torch.zeros(1, 2, 2, 1), weights=weights).weights, weights)
    with pytest.raises(FieldError, match="Field.weights: found"):
        Field.on_grid(torch.zeros(1, 2, 2, 1), weights=weights[:, :3])


def test_a_balanced_union_gives_each_field_the_same_mass(make_field: MakeField) -> None:
    few, many = make_field(points=3), make_field(points=30)
    joined = union([few, many])
    torch.testing.assert_close(joined.weights[:, :3].sum(-1), torch.full((2,), 0.5))
    torch.testing.assert_close(joined.weights[:, 3:].sum(-1), torch.full((2,), 0.5))
    assert torch.equal(union([few, many], "given").weights, torch.cat([few.weights, many.weights], 1))
    torch.testing.assert_close(union([few, many], "mean").weights.sum(-1), torch.ones(2))


def test_a_union_of_unlike_fields_is_refused(make_field: MakeField) -> None:
    with pytest.raises(FieldError, match="the same for all fields"):
        union([make_field(dim=8), make_field(dim=4)])
    with pytest.raises(FieldError, match="no field"):
        union([])


def test_moves_and_pytree(make_field: MakeField) -> None:
    field = make_field()
    assert {t.dtype for t in tree_flatten(field.to(torch.float32))[0]} == {torch.float32}
    assert field.to("meta").device.type == "meta"
    leaves, spec = tree_flatten(Field.on_grid(torch.randn(1, 2, 3, 1)))
    again = tree_unflatten(leaves, spec)
    assert again.grid == (2, 3)
    assert torch.equal(tree_map(lambda t: 2 * t, field).values, 2 * field.values)


def test_works_under_compile(make_field: MakeField) -> None:
    field = make_field()

    @torch.compile(fullgraph=True, backend="aot_eager")
    def double(field: Field) -> Field:
        joined = union([field, Field(field.values, field.positions, field.weights)])
        return joined.map(lambda u: 2 * u).with_measure("mean")

    result = double(field)
    torch.testing.assert_close(result.values, torch.cat([field.values] * 2, 1) * 2)
    torch.testing.assert_close(result.weights.sum(-1), torch.ones(2))


def test_positions_without_a_finite_square_are_refused() -> None:
    values, far = torch.zeros(2, 3, 1), torch.full((2, 3, 2), 1e20, dtype=torch.float64)
    Field(values, far)
    Field(values, (far / 100).float())
    with pytest.raises(FieldError, match=r"6 points farther than 1\.2e\+18 from 0, the first at \(0, 0\)"):
        Field(values, far.float())


def test_a_field_is_not_moved_to_a_dtype_that_does_not_hold_it() -> None:
    field = Field(torch.zeros(1, 3, 1), torch.full((1, 3, 2), 1e6))
    assert field.to(torch.bfloat16).positions.dtype == torch.bfloat16
    with pytest.raises(FieldError, match=r"Field\.positions: found 3 points that are not finite"):
        field.to(torch.float16)
    light = Field(torch.zeros(1, 3, 1), torch.zeros(1, 3, 2), torch.full((1, 3), 1e-30))
    with pytest.raises(FieldError, match="no mass in sample 0"):
        light.to(torch.float16)


def test_a_field_is_immutable_and_says_what_to_call() -> None:
    field = Field(torch.zeros(1, 3, 2), torch.zeros(1, 3, 1))
    with pytest.raises(AttributeError, match=r"use with_values or replace\(weights=\.\.\.\)"):
        field.weights = torch.ones(1, 3)  # type: ignore[misc]
    assert repr(field) == "Field(B=1, N=3, d=2, p=1)"
    assert repr(Field.on_grid(torch.zeros(1, 2, 3, 4), axes="yx")) == "Field(B=1, N=6, d=4, p=4, grid=(2, 3))"


def test_replaced_tensors_are_checked() -> None:
    field = Field.on_grid(torch.randn(2, 2, 3, 4))
    positions = torch.randn(2, 6, 5)
    moved = field.replace(positions=positions)
    assert moved.positions is positions
    assert moved.values is field.values
    assert moved.weights is field.weights
    assert moved.grid == (2, 3)
    with pytest.raises(FieldError, match="negative or not finite"):
        field.replace(weights=-field.weights)
    with pytest.raises(FieldError, match="Field.positions: found shape"):
        field.replace(values=torch.zeros(2, 7, 4))


COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("how", COPIES)
def test_fields_can_be_copied(how: str) -> None:
    """As worker processes of a data loader do; with what is cached left behind."""
    fine = Field.on_grid(torch.randn(2, 4, 3, 2), axes="yx")
    field = Field(fine.values[:, :5], fine.positions[:, :5], fine.weights[:, :5]).standing_for(fine)
    fine.points.cached(lambda points: points.weights.sum())  # a lambda cannot be pickled
    again = COPIES[how](field)
    assert again.sampled_from.grid == (4, 3)
    for one, other in ((again, field), (again.sampled_from, fine)):
        for name in ("values", "positions", "weights"):
            assert torch.equal(getattr(one, name), getattr(other, name))
            assert getattr(one, name).data_ptr() != getattr(other, name).data_ptr()


@pytest.mark.parametrize("how", COPIES)
def test_problems_can_be_copied(how: str, make_field: MakeField) -> None:
    kernel, field = MLPKernel(8, heads=2, position_dim=2), make_field()
    with torch.no_grad():  # a tensor with a graph cannot be copied
        problem = kernel.problem(field, field, torch.randn(2, 7, 2, 3))
    again: Problem[PointTerms] = COPIES[how](problem)
    assert again.shape == (2, 7, 7)
    assert type(again.query_terms) is PointTerms
    assert again.kernel is not kernel
    torch.testing.assert_close(DenseEvaluator()(again), DenseEvaluator()(problem))


def test_edges_stay_with_the_points() -> None:
    edges = Edges(torch.tensor([[[1], [0], [1]]]), torch.ones(1, 3, 1))
    field = Field(torch.randn(1, 3, 2), torch.rand(1, 3, 4)).with_edges(edges)
    leaves, spec = tree_flatten(field)
    fields = [
        field.map(torch.relu),
        field.with_measure("counting"),
        field.without_padding(),
        tree_unflatten(leaves, spec),
    ]
    fields += [field.replace(positions=field.positions + 1), pickle.loads(pickle.dumps(field))]
    for same in fields:
        assert same.points.edges is not None
        assert torch.equal(same.points.edges.sources, edges.sources)
    moved = field.to(torch.float64).points.edges
    assert moved is not None
    assert (moved.sources.dtype, moved.weights.dtype) == (torch.int64, torch.float64)
    assert field.with_edges(None).points.edges is None


@pytest.mark.parametrize(
    ("sources", "weights", "message"),
    [
        (torch.zeros(1, 3, 1), torch.ones(1, 3, 1), "Field.edges: found torch.float32 of shape (1, 3, 1)"),
        (torch.zeros(1, 2, 1, dtype=torch.int64), torch.ones(1, 2, 1), "expected int64 sources and floating weights"),
        (torch.zeros(1, 3, 0, dtype=torch.int64), torch.ones(1, 3, 0), "K ≥ 1"),
        (torch.full((1, 3, 1), 3), torch.ones(1, 3, 1), "found numbers from 3 to 3; expected 0 to 2"),
        (torch.full((1, 3, 1), 2), -torch.ones(1, 3, 1), "weights that are negative or not finite"),
        (torch.full((1, 3, 1), 2), torch.full((1, 3, 1), torch.nan), "weights that are negative or not finite"),
    ],
)
def test_edges_that_do_not_fit_are_refused(sources: torch.Tensor, weights: torch.Tensor, message: str) -> None:
    with pytest.raises(FieldError, match=re.escape(message)):
        Field(torch.randn(1, 3, 2), torch.rand(1, 3, 4)).with_edges(Edges(sources, weights))


def test_a_union_knows_its_parts_under_any_measure_and_with_other_values() -> None:
    fields = [Field(torch.randn(2, n, 3), torch.rand(2, n, 2)) for n in (4, 2)]
    joined = union(fields).with_measure("counting").map(torch.relu).to(torch.float64)
    assert joined.points.parts == (4, 2)
    assert joined.replace(weights=torch.rand(2, 6, dtype=torch.float64)).points.parts == (4, 2)
    assert fields[0].points.parts == ()


@pytest.mark.parametrize("measure", ["mean", "counting"])
def test_a_cell_at_the_border_weighs_as_much_as_is_inside(measure: Any) -> None:
    field = Field.on_grid(torch.ones(1, 2, 3, 1), inside=[1.25, 3], measure=measure)
    expected = torch.tensor([[1.0, 1.0, 1.0, 0.25, 0.25, 0.25]])
    torch.testing.assert_close(field.weights, expected / expected.sum() if measure == "mean" else expected)


def test_a_grid_has_a_length_inside_for_each_axis() -> None:
    with pytest.raises(FieldError, match=r"inside\): found 1 lengths; expected one for each of 2 axes"):
        Field.on_grid(torch.ones(1, 2, 3, 1), inside=[1.25])


def test_an_unknown_measure_of_cut_cells_is_refused() -> None:
    measure: Any = "sum"
    with pytest.raises(FieldError, match="found 'sum'; expected 'mean', 'counting' or 'given'"):
        Field.on_grid(torch.ones(1, 2, 3, 1), inside=[1.25, 3], measure=measure)
