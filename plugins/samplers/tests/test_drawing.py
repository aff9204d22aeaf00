"""What every method of drawing has: unbiased sums, what is drawn for certain, what never."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itnet_samplers.drawing import Draw, Method, draw, inclusion

METHODS = get_args(Method)


def probabilities(seed: int, rows: int, points: int, heaviness: float = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(rows, points, dtype=torch.float64, generator=generator) ** heaviness
    p[:, ::5] = 0
    return p


def drawn(p: Tensor, count: int, method: Method, seed: int = 0, queries: int = 1) -> Draw:
    generator = torch.Generator().manual_seed(seed)
    queries = 1 if method == "priority" else queries
    return draw(p, count, method, lambda n: torch.rand(len(p), queries, n, dtype=torch.float64, generator=generator))


@pytest.mark.parametrize("method", METHODS)
def test_the_mean_over_draws_is_the_sum(method: Method) -> None:
    """Within 4.5 standard errors, for a function that has nothing to do with p."""
    draws, p = 4000, probabilities(0, 1, 30).expand(4000, -1)
    g = torch.randn(30, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * (p[0] > 0)
    indices, expected = drawn(p, 9, method)
    sums = (g[indices] / expected).sum(-1)
    assert sums.std() > 0.1
    assert (sums.mean() - g.sum()).abs() < 4.5 * sums.std() / draws**0.5


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None)
@given(seed=st.integers(0, 2**20), points=st.integers(2, 40), data=st.data())
def test_a_point_of_probability_0_is_never_drawn(method: Method, seed: int, points: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, points - 1))
    p = probabilities(seed, 3, points)
    indices, expected = drawn(p, count, method, seed)
    actual = p.unsqueeze(1).gather(-1, indices)
    assert (actual[expected.isfinite()] > 0).all()
    assert (expected[expected.isfinite()] > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_no_more_points_than_draws_are_each_there_once(method: Method) -> None:
    """In a batch with samples that have more, too."""
    p = probabilities(0, 2, 20)
    p[1, 7:] = 0
    indices, expected = drawn(p, 8, method)
    there = expected[1, 0].isfinite()
    assert sorted(indices[1, 0, there].tolist()) == p[1].nonzero().squeeze(-1).tolist()
    assert (expected[1, 0, there] == 1).all()
    assert expected[0].isfinite().all()


@settings(deadline=None)
@given(seed=st.integers(0, 2**20), points=st.integers(1, 40), count=st.integers(1, 40), heaviness=st.floats(0, 40))
def test_probabilities_of_inclusion_sum_to_the_draws(seed: int, points: int, count: int, heaviness: float) -> None:
    p = probabilities(seed, 3, points + 1, heaviness)
    p[:, 1] = 1
    actual = inclusion(p, count)
    assert ((actual > 0) == (p > 0)).all()
    assert (actual <= 1).all()
    torch.testing.assert_close(actual.sum(-1), (p > 0).sum(-1).clamp(max=count).to(p.dtype))
    share = torch.where((actual > 0) & (actual < 1), actual / p, torch.nan)  # proportional where it is not 1
    torch.testing.assert_close(share.nan_to_num(0).amax(-1), share.nan_to_num(torch.inf).amin(-1).nan_to_num(posinf=0))


@pytest.mark.parametrize("method", ["systematic", "priority"])
def test_without_replacement_no_point_is_drawn_twice(method: Method) -> None:
    p = probabilities(0, 50, 40)
    indices, _ = drawn(p, 12, method)
    assert all(len(row.unique()) == 12 for row in indices.squeeze(1))


def test_a_heavy_point_adds_no_variance_without_replacement() -> None:
    """It has 99% of what is summed, and p knows: with replacement it is drawn more or less often, without exactly once.

    With a systematic draw the number would be 11 or 12 of 12 with either, were it not for the bound at 1.
    """
    p = probabilities(0, 1, 40, heaviness=1).expand(300, -1).clone()
    p[:, 1] = 99 * p[0].sum()
    g = p[0] * torch.rand(40, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) ** 0.1
    spread = {}
    for method in METHODS:
        indices, expected = drawn(p, 12, method)
        spread[method] = (g[indices] / expected).sum(-1).std()
    assert spread["systematic"] < 0.2 * spread["stratified"]
    assert spread["priority"] < 0.7 * spread["independent"]


def test_queries_draw_for_themselves() -> None:
    indices, _ = drawn(probabilities(0, 2, 40), 6, "systematic", queries=5)
    assert indices.shape == (2, 5, 6)
    assert len({tuple(row) for row in indices[0].tolist()}) > 1
