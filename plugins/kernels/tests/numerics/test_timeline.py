"""Sums over the past."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itnet_core import Points, Support
from itnet_kernels.numerics.timeline import in_order, is_equidistant, potentials

SEEDS = st.integers(0, 10**6)


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 3), queries=st.integers(1, 9), keys=st.integers(1, 9), ties=st.booleans(), seed=SEEDS)
def test_potentials_are_sums_up_to_each_time(batch: int, queries: int, keys: int, ties: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    query, key = (torch.rand(batch, n, generator=generator) for n in (queries, keys))
    if ties:
        query, key = (4 * query).round(), (4 * key).round()
    weights = torch.rand(batch, keys, generator=generator).round()
    increments = torch.randn(batch, keys, 2, generator=generator, dtype=torch.float64).requires_grad_()
    for left, actual in zip((query, key), potentials(increments, query, key, weights), strict=True):
        past = (key.unsqueeze(1) <= left.unsqueeze(2)) & (weights > 0).unsqueeze(1)
        expected = past.double() @ increments
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
        (mine,) = torch.autograd.grad(actual.square().sum(), increments, retain_graph=True)
        (theirs,) = torch.autograd.grad(expected.square().sum(), increments)
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(points=st.integers(1, 40), seed=SEEDS)
def test_the_fast_path_is_the_general_one(points: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(float(points)).expand(2, points)
    weights = torch.rand(2, points, generator=generator).round()
    increments = torch.randn(2, points, 3, generator=generator)
    fast, _ = potentials(increments, time, time, weights)
    general, _ = potentials(increments, torch.cat([time, time[:, :1]], dim=1), time, weights)
    torch.testing.assert_close(fast, general[:, :-1], rtol=1e-12, atol=1e-12)


def test_differences_of_huge_sums_survive() -> None:
    """16k gates of e^{-60}, then one of 0.9: its logarithm is still there in the difference."""
    increments = torch.full((1, 2**14, 1), -60.0)
    increments[:, -1] = torch.tensor(0.9).log()
    time = torch.arange(2.0**14).unsqueeze(0)
    sums, _ = potentials(increments, time, time, torch.ones_like(time))
    torch.testing.assert_close(sums[0, -1] - sums[0, -2], increments[0, -1].double(), rtol=1e-8, atol=0)


def test_in_order_reads_times_alone() -> None:
    def ordered(query: Tensor, key: Tensor, axis: int) -> bool:
        sides = [Points(side, torch.ones(side.shape[:2])) for side in (query, key)]
        return in_order(sides[0], sides[1], Support(causal=axis))

    positions = torch.rand(2, 6, 4)
    positions[..., 1] = torch.arange(6.0)
    elsewhere = torch.rand(2, 6, 4)
    elsewhere[..., 1] = positions[..., 1]
    assert ordered(elsewhere, positions, 1)
    assert not ordered(elsewhere, positions, 0)
    assert not ordered(elsewhere[:, :5], positions, 1)
    assert not ordered(positions.flip(1), positions.flip(1), 1)
    positions[:, 3, 1] = positions[:, 2, 1]
    assert not ordered(positions, positions, 1)


def test_equidistance_allows_for_rounding_alone() -> None:
    time = (torch.arange(2**14) + 0.5) / 2**14 * 2 - 1
    assert is_equidistant(time.unsqueeze(0))
    assert is_equidistant((torch.arange(100.0) + 3e4).unsqueeze(0))
    assert not is_equidistant(torch.tensor([[0.0, 1.0, 2.1]]))
    assert not is_equidistant(torch.tensor([[0.0, 1.0, 2.0], [0.0, 2.0, 4.0]]))
    assert is_equidistant(torch.zeros(3, 1))
