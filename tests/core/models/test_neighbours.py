from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itnet_core import farthest_points, gather_points, nearest_points
from itnet_core.models import neighbours


@settings(deadline=None, max_examples=40)
@given(points=st.integers(1, 40), count=st.integers(1, 20), valid=st.integers(1, 40))
def test_farthest_points_cover_the_cloud(points: int, count: int, valid: int) -> None:
    """As Gonzalez proved: no point is farther from them than they are from each other; and none is padding."""
    positions = torch.randn(2, points, 3)
    mask = (torch.arange(points) < valid).expand(2, -1)
    chosen = farthest_points(positions, mask, count)
    assert chosen.shape == (2, count)
    assert mask.gather(1, chosen).all()
    for cloud, there, indices in zip(positions, mask, chosen, strict=True):
        distances = torch.cdist(cloud[there], cloud[indices])
        if count < int(there.sum()):
            apart = torch.cdist(cloud[indices], cloud[indices])[~torch.eye(count, dtype=torch.bool)]
            assert len(set(indices.tolist())) == count
            assert count == 1 or distances.amin(1).max() <= apart.min() + 1e-5
        else:
            assert distances.amin(1).max() < 1e-3  # every point is chosen


def test_farthest_points_do_not_depend_on_the_order() -> None:
    positions, order = torch.randn(1, 50, 3), torch.randperm(50)
    mask = torch.ones(1, 50, dtype=torch.bool)
    chosen = gather_points(positions, farthest_points(positions, mask, 10))
    again = gather_points(positions[:, order], farthest_points(positions[:, order], mask, 10))
    torch.testing.assert_close(chosen, again)


@pytest.mark.parametrize("block", [1, 100, 2**20])
def test_nearest_are_the_nearest_whatever_the_block(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", block)
    query, key = torch.randn(2, 7, 3, dtype=torch.float64), torch.randn(2, 30, 3, dtype=torch.float64)
    mask = torch.rand(2, 30) < 0.7
    indices, there = nearest_points(query, key, mask, 5)
    assert there.all()
    all_pairs = (query.unsqueeze(2) - key.unsqueeze(1)).norm(dim=-1).masked_fill(~mask.unsqueeze(1), torch.inf)
    assert torch.equal(indices, all_pairs.argsort(-1)[..., :5])


def test_where_there_are_too_few_neighbours_it_is_said() -> None:
    mask = torch.tensor([[True, False, True, False]])
    indices, there = nearest_points(torch.zeros(1, 1, 3), torch.randn(1, 4, 3), mask, 3)
    assert there.tolist() == [[[True, True, False]]]
    assert set(indices[0, 0, :2].tolist()) == {0, 2}


def test_far_from_the_origin_near_points_are_still_told_apart() -> None:
    """In float32 the expanded square ‖a‖² − 2ab + ‖b‖² would not."""
    key = 1000 + 0.01 * torch.arange(60.0).view(1, 60, 1).expand(1, 60, 3)
    indices, _ = nearest_points(key, key, torch.ones(1, 60, dtype=torch.bool), 1)
    assert indices.flatten().tolist() == list(range(60))
