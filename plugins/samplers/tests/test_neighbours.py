"""Neighbourhoods: a radius is a support, searches agree, windows need none, and what of the mass is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from itnet_core import ConfigError, Field, IntegralOperator, MLPKernel, Support, farthest_points
from itnet_core.models import neighbours
from itnet_samplers import search
from itnet_samplers.neighbours import NeighboursSampler, kept_mass
from itnet_testing.fields import on_an_image, scattered, with_padding


def operator(support: dict[str, Any] | None = None, **options: Any) -> IntegralOperator:
    torch.manual_seed(0)
    kernel = MLPKernel(8, heads=2, hidden=4, rank=4, support=support or {})
    return IntegralOperator(8, kernel, NeighboursSampler(8, **options) if options else None).double()


@pytest.mark.parametrize("options", [{"radius": 0.9}, {"radius": 0.9, "count": 40}])
def test_a_radius_is_a_support(options: dict[str, Any]) -> None:
    field = with_padding(scattered(2, 30).to(torch.float64))
    actual, expected = operator(**options)(field), operator({"radius": 0.9})(field)
    torch.testing.assert_close(actual.values[:, :30], expected.values[:, :30])


def test_a_window_on_a_grid_is_a_support() -> None:
    field = on_an_image(0)  # 4 × 4 points, half a unit apart
    actual, expected = operator(window=[1, 1])(field), operator({"window": 0.6})(field)
    torch.testing.assert_close(actual.values, expected.values)


def test_queries_on_some_of_the_grid_have_the_windows_of_these_points() -> None:
    field = on_an_image(0)
    every_second = (torch.arange(4).view(-1, 1) % 2 == 0) & (torch.arange(4) % 2 == 0)
    for chosen in (every_second.flatten().nonzero().squeeze(1), torch.tensor([14, 3, 3])):
        query = Field(field.values[:, chosen], field.positions[:, chosen])
        windowed = operator(window=[1, 1])
        expected = windowed(field).values[:, chosen]
        torch.testing.assert_close(windowed(query, field).values, expected)
        own = Field(query.values, query.positions.clone())  # positions of each sample's own
        torch.testing.assert_close(windowed(own, field).values, expected)


def test_all_neighbours_are_the_field() -> None:
    field = scattered(2, 30).to(torch.float64)
    torch.testing.assert_close(operator(count=50)(field).values, operator()(field).values)


@pytest.mark.parametrize("radius", [torch.inf, 0.8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tree_and_blocks_find_the_same(radius: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 500)
    query, key = (scattered(3, 70, seed=seed).positions.to(dtype) for seed in (0, 1))
    mask = torch.rand(3, 70, generator=torch.Generator().manual_seed(0)) < 0.7
    mask[1, 5:] = False
    one, other = (find(query, key, mask, 9, radius) for find in (search.by_blocks, search.by_tree))
    assert torch.equal(one[1], other[1])
    assert torch.equal(one[0][one[1]], other[0][other[1]])
    assert mask.unsqueeze(1).expand(-1, 70, -1).gather(2, one[0])[one[1]].all()
    assert one[1].any()
    assert not one[1].all()


def test_many_points_are_searched_by_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "TREE", 100)
    monkeypatch.setattr(search, "by_blocks", None)
    query = scattered(2, 30).positions
    indices, _ = search.nearest(query, query, torch.ones(2, 30, dtype=torch.bool), 1)
    assert (indices.squeeze(-1) == torch.arange(30)).all()


def test_the_kept_mass() -> None:
    field = scattered(1, 40).with_measure("mean")
    torch.testing.assert_close(
        kept_mass(NeighboursSampler(8, count=10)(field, field), field), torch.full((1, 40), 0.25)
    )
    field = Field.on_grid(torch.randn(1, 4, 4, 8), axes="yx")
    kept = kept_mass(NeighboursSampler(8, window=[1, 0])(field, field), field)
    torch.testing.assert_close(kept.view(4, 4)[:, 0], torch.tensor([2.0, 3.0, 3.0, 2.0]) / 16)


def test_a_query_with_no_neighbour_has_the_integral_0() -> None:
    field = scattered(1, 10).to(torch.float64)
    far = Field(field.values, field.positions + 100)
    nodes = NeighboursSampler(8, radius=1.0)(far, field)
    assert (nodes.weights == 0).all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="a window alone"):
        NeighboursSampler(8, window=[1], radius=1.0)
    with pytest.raises(ConfigError, match="one grid of 2 dimensions"):
        NeighboursSampler(8, window=[1, 1])(scattered(), scattered())
    image = on_an_image(0)
    other = Field(image.values, image.positions + 1, image.weights, grid=image.grid)
    with pytest.raises(ConfigError, match="one grid of 2 dimensions"):
        NeighboursSampler(8, window=[1, 1])(other, image)


@pytest.mark.parametrize("radius", [0.1, 0.2, 0.3, 0.5])
@pytest.mark.parametrize("tree", [True, False])
def test_a_radius_is_a_support_where_points_lie_on_its_bound(
    radius: float, tree: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "TREE", 0 if tree else 1 << 40)
    line = 0.1 * torch.arange(11, dtype=torch.float32)
    positions = torch.cartesian_prod(line, line).unsqueeze(0)
    mask = torch.ones(1, 121, dtype=torch.bool)
    most = search.most_within(positions, positions, mask, radius)
    _, there = search.nearest(positions, positions, mask, most, radius)
    inside = Support(radius=radius).mask(positions, positions)
    assert torch.equal(there.sum(-1), inside.sum(-1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("tree", [True, False])
def test_points_in_half_precision_have_neighbours(
    dtype: torch.dtype, tree: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "TREE", 0 if tree else 1 << 40)
    positions, mask = torch.rand(2, 30, 3).to(dtype), torch.ones(2, 30, dtype=torch.bool)
    actual, expected = (search.nearest(item, item, mask, 4, 0.5) for item in (positions, positions.float()))
    assert torch.equal(actual[0], expected[0])
    assert torch.equal(actual[1], expected[1])
    assert farthest_points(positions, mask, 5).shape == (2, 5)
    most = [search.most_within(item, item, mask, 0.5) for item in (positions, positions.float())]
    assert most[0] == most[1]
