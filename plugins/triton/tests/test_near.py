"""Tiles of near points."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itnet_core import Field, MLPKernel, Problem, Support
from itnet_triton.near import near_tiles, rearranged

SUPPORTS: tuple[dict[str, Any], ...] = ({"window": 0.2}, {"radius": 0.3}, {"causal": 0, "radius": 0.4})


def problem(query: Field, key: Field, support: Support) -> Problem:
    kernel = MLPKernel(2, position_dim=query.positions.shape[-1], heads=1, support=support)
    return kernel.problem(query, key, torch.randn(*key.values.shape[:2], 1, 2))


def field(batch: int, points: int, axes: int) -> Field:
    """Return random points, half of them in a small cluster, with some in equal places."""
    positions = torch.rand(batch, points, axes)
    positions[:, ::2] *= 0.05
    positions[:, ::5] = positions[:, :1].clone()
    return Field(torch.randn(batch, points, 2), positions)


@settings(max_examples=30)
@given(
    batch=st.integers(1, 3),
    n=st.integers(1, 70),
    m=st.integers(1, 70),
    axes=st.integers(1, 3),
    block=st.sampled_from([(1, 16), (4, 8), (8, 4)]),
    support=st.sampled_from(SUPPORTS),
)
def test_every_pair_of_the_support_is_in_a_tile(
    batch: int, n: int, m: int, axes: int, block: tuple[int, int], support: dict[str, Any]
) -> None:
    of = problem(field(batch, n, axes), field(batch, m, axes), Support(**support))
    near = near_tiles(of, block, torch.float32)
    x, y = of.query.positions, of.key.positions
    assert torch.equal(rearranged(rearranged(x, near.query), near.back), x)
    mask = Support(**support).mask(rearranged(x, near.query), rearranged(y, near.key))
    rows, columns = -(-n // block[0]), -(-m // block[1])
    sample, query, key = mask.nonzero().T
    query, key = query // block[0], key // block[1]
    by_query, by_key = near.tiles
    assert torch.isin((sample * rows + query) * columns + key, by_query).all()
    assert torch.equal(by_query, by_query.unique())
    sample, query, key = by_query // (rows * columns), by_query // columns % rows, by_query % columns
    assert torch.equal(by_key, ((sample * columns + key) * rows + query).sort().values)
    assert near.share == len(by_query) / (batch * rows * columns)


@pytest.mark.parametrize("scattered", [False, True])
def test_the_number_of_tiles_is_linear_in_the_number_of_points(scattered: bool) -> None:
    tiles = []
    for side in (32, 64, 128):
        points = Field.on_grid(torch.randn(1, side, side, 2))
        if scattered:
            points = Field(points.values, 2 * torch.rand(1, side * side, 2) - 1)
        near = near_tiles(problem(points, points, Support(window=5 / side)), (4, 64), torch.float32)
        tiles.append(near.tiles.shape[1] * 4 * 64 / side**2)
    assert max(tiles) < 200, "the support has up to 25 pairs a query"
    assert tiles[2] < 1.25 * tiles[1]


def test_samples_share_tiles_where_they_share_points_and_tiles_are_kept_with_the_points() -> None:
    shared = Field.on_grid(torch.randn(3, 9, 11, 2))
    copied = Field(shared.values, shared.positions.clone(), shared.weights)
    of = problem(shared, shared, Support(window=0.3))
    near, other = (
        near_tiles(item, (4, 16), torch.float32) for item in (of, problem(copied, copied, Support(window=0.3)))
    )
    assert torch.equal(near.tiles, other.tiles)
    assert torch.equal(near.query, other.query)
    assert near_tiles(of, (4, 16), torch.float32) is near
