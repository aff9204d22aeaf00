"""Query points of blocks: they keep the mass, and padding never reaches them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from itnet_core import CoarserGrid, ConfigError, FarthestPoints, Field, Latents, QueryPoints
from itnet_core.models.query_points import EarlierPoints


def on_grid(*grid: int, weights: Tensor | None = None) -> Field:
    return Field.on_grid(torch.randn(2, *grid, 3, dtype=torch.float64), weights=weights)


def scattered(points: int = 9) -> Field:
    weights = torch.rand(2, points).double()
    weights[1, -3:] = 0.0
    return Field(torch.randn(2, points, 3).double(), torch.rand(2, points, 2).double(), weights)


QUERIES = [CoarserGrid(2), CoarserGrid([3, 1]), CoarserGrid(size=3), FarthestPoints(4), Latents(5, 3).double()]


@pytest.mark.parametrize("query", QUERIES, ids=str)
@pytest.mark.parametrize("grid", [(4, 6), (5, 7)])
def test_the_mass_is_kept(query: QueryPoints, grid: tuple[int, int]) -> None:
    weights = torch.rand(2, grid[0] * grid[1]).double()
    weights[0, :3] = 0
    field = on_grid(*grid, weights=weights)
    actual = query(field, {})
    torch.testing.assert_close(actual.weights.sum(-1), field.weights.sum(-1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_padding_changes_nothing(query: QueryPoints) -> None:
    weights = torch.rand(2, 24).double()
    weights[:, ::5] = 0
    field = on_grid(4, 6, weights=weights)
    changed = field.values.masked_fill(~field.mask.unsqueeze(-1), torch.nan)
    actual, expected = query(field.with_values(changed), {}), query(field, {})
    assert torch.equal(actual.values, expected.values)
    assert torch.equal(actual.weights, expected.weights)


@pytest.mark.parametrize("query", [FarthestPoints(4), Latents(5, 3).double()], ids=str)
def test_scattered_padding_has_no_position(query: QueryPoints) -> None:
    field = scattered()
    positions = torch.where(field.mask.unsqueeze(-1), field.positions, 1e6)
    actual, expected = query(field.replace(positions=positions), {}), query(field, {})
    assert torch.equal(actual.positions, expected.positions)
    assert torch.equal(actual.weights, expected.weights)


def test_cells_hold_means_by_weight_in_the_middle() -> None:
    weights = torch.tensor([[1.0, 3.0, 2.0, 0.0, 5.0]], dtype=torch.float64)
    values = torch.tensor([[[1.0], [2.0], [4.0], [9.0], [7.0]]], dtype=torch.float64)
    positions = torch.arange(5, dtype=torch.float64).view(1, 5, 1)
    actual = CoarserGrid(2)(Field(values, positions, weights, grid=(5,)), {})
    torch.testing.assert_close(actual.values.flatten(), torch.tensor([1.75, 4.0, 7.0]).double())
    assert actual.weights.flatten().tolist() == [4.0, 2.0, 5.0]
    assert actual.positions.flatten().tolist() == [0.5, 2.5, 4.5]  # the last as in a whole cell
    assert actual.grid == (3,)


def test_a_grid_halved_is_the_grid_of_half_the_resolution() -> None:
    fine, coarse = on_grid(8, 6), on_grid(4, 3)
    actual = CoarserGrid(2)(fine, {})
    torch.testing.assert_close(actual.positions, coarse.positions)
    torch.testing.assert_close(actual.weights, coarse.weights)


def test_a_grid_of_a_size_has_the_same_points_at_any_resolution() -> None:
    expected = on_grid(4, 2)
    for field in (on_grid(4, 2), on_grid(8, 6), on_grid(16, 4)):
        coarse = CoarserGrid(size=[4, 2])(field, {})
        assert coarse.grid == (4, 2)
        torch.testing.assert_close(coarse.positions, expected.positions)
        torch.testing.assert_close(coarse.weights, expected.weights)
    assert CoarserGrid(size=4)(on_grid(3, 9), {}).grid == (3, 3)


def test_a_coarser_grid_has_a_stride_or_a_size() -> None:
    for options in ({}, {"stride": 2, "size": 2}):
        with pytest.raises(ConfigError, match="expected one of the two"):
            CoarserGrid(**options)  # type: ignore[arg-type]


def test_farthest_points_keep_their_values_and_take_the_mass_of_the_nearest() -> None:
    line = torch.tensor([[[0.0], [1.0], [2.0], [9.0]]])
    field = Field(line, line, torch.full((1, 4), 0.25))
    actual = FarthestPoints(2)(field, {})
    assert sorted(zip(actual.values.flatten().tolist(), actual.weights.flatten().tolist(), strict=True)) == [
        (0.0, 0.75),
        (9.0, 0.25),
    ]
    assert FarthestPoints(4)(field, {}) is field


def test_latents_lie_in_the_box_of_the_points() -> None:
    field = scattered()
    actual = Latents(20, 3).double()(field, {})
    for sample in range(2):
        there = field.positions[sample][field.mask[sample]]
        assert (actual.positions[sample] >= there.amin(0)).all()
        assert (actual.positions[sample] <= there.amax(0)).all()
    assert len(actual.positions[0].unique(dim=0)) == 20


def test_earlier_points_are_the_earlier_field() -> None:
    field, earlier = scattered(), scattered()
    assert EarlierPoints(3)(field, {3: earlier}) is earlier


def test_a_grid_that_is_missing_is_named() -> None:
    query = CoarserGrid(2, place="model.trunk.2.query")
    with pytest.raises(ConfigError, match=r"^model\.trunk\.2\.query: found points without a grid; .*farthest: 64"):
        query(scattered(), {})
    with pytest.raises(ConfigError, match="found a grid of 2 dimensions; expected a grid, for stride "):
        CoarserGrid([2, 2, 2])(on_grid(4, 4), {})
