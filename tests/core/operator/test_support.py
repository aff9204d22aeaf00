from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from itnet_core import (
    AutoEvaluator,
    ConfigError,
    DenseEvaluator,
    Evaluator,
    Field,
    Kernel,
    MLPKernel,
    Support,
    TiledEvaluator,
)

SUPPORTS = st.builds(
    Support,
    causal=st.sampled_from([None, 0, 1]),
    radius=st.none() | st.floats(0, 2),
    window=st.none() | st.floats(0, 2),
)

EDGES = st.builds(
    Support, causal=st.sampled_from([None, 1]), radius=st.floats(0, 2), window=st.floats(0, 2), edge=st.floats(0.01, 3)
)


@pytest.mark.parametrize(
    ("support", "inside"),
    [
        (Support(), lambda x, y: True),
        (Support(causal=1), lambda x, y: y[1] <= x[1]),
        (Support(radius=0.8), lambda x, y: (x - y).norm() <= 0.8),
        (Support(window=0.5), lambda x, y: (x - y).abs().max() <= 0.5),
        (Support(causal=0, window=0.5), lambda x, y: y[0] <= x[0] and (x - y).abs().max() <= 0.5),
    ],
)
def test_the_mask_is_the_definition(support: Support, inside: Callable[[Tensor, Tensor], Any]) -> None:
    query, key = torch.randn(1, 6, 2), torch.randn(1, 9, 2)
    expected = [[bool(inside(x, y)) for y in key[0]] for x in query[0]]
    assert support.mask(query, key)[0].tolist() == expected


def test_a_point_is_in_its_own_support() -> None:
    positions = torch.randn(1, 5, 2)
    for support in (Support(causal=0), Support(radius=0.0), Support(window=0.0)):
        assert support.mask(positions, positions)[0].diagonal().all()


@given(support=SUPPORTS | EDGES, seed=st.integers(0, 99))
def test_boxes_that_hold_a_pair_of_the_support_are_reached(support: Support, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    query, key = (torch.randn(1, n, 2, generator=random) for n in (5, 8))
    boxes = (query.amin(1, True), query.amax(1, True), key.amin(1, True), key.amax(1, True))
    if support.mask(query, key).any():
        assert support.reaches(*boxes).all()


def test_a_named_axis_needs_space_time() -> None:
    query = torch.zeros(1, 1, 4)
    assert Support(causal="t").mask(query, query).all()
    with pytest.raises(ConfigError, match=r"Support.causal: found 't' for positions with 2 coordinates"):
        Support(causal="t").mask(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))
    with pytest.raises(ConfigError, match="from 0 to 1"):
        Support(causal=2).mask(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))


@pytest.mark.parametrize("axis", ["q", "", "tx", -1])
def test_an_axis_that_no_positions_have_is_refused(axis: str | int) -> None:
    with pytest.raises(ValueError, match="a letter of txyz, or a coordinate's number"):
        Support(causal=axis)
    with pytest.raises(ConfigError, match=r"MLPKernel.support.causal: found .*; expected a letter of txyz"):
        MLPKernel(8, support={"causal": axis})


@given(support=SUPPORTS | EDGES)
def test_pairs_of_the_support_are_those_with_a_share(support: Support) -> None:
    query, key = torch.randn(2, 6, 2), torch.randn(2, 9, 2)
    share = support.share(query, key)
    assert torch.equal(share > 0, support.mask(query, key))
    assert ((share == 0) | (share == 1)).all() or support.edge


def test_shares_fall_over_the_width_of_the_edge() -> None:
    x, y = torch.zeros(1, 1, 1), torch.tensor([[[-1.3], [-1.1], [-1.0], [-0.9], [-0.7], [0.0], [0.05], [1.1]]])
    for support in (Support(radius=1.0, edge=0.4), Support(window=1.0, edge=0.4)):
        share = support.share(x, y)[0, 0]
        torch.testing.assert_close(share, torch.tensor([0, 0.25, 0.5, 0.75, 1, 1, 1, 0.25]))
    share = Support(causal=0, edge=0.4).share(x, y)[0, 0]  # a point in the future never counts
    torch.testing.assert_close(share, torch.tensor([1, 1, 1, 1, 1, 0.5, 0, 0]))
    with pytest.raises(ConfigError, match=r"expected causal, radius or window with edge = 0\.4"):
        MLPKernel(8, support={"edge": 0.4})


@pytest.mark.parametrize("evaluator", [DenseEvaluator(), TiledEvaluator(query_tile=7, key_tile=9), AutoEvaluator()])
@pytest.mark.parametrize("support", [{"causal": 0}, {"radius": 0.37}, {"window": 0.37}], ids=str)
def test_an_edge_of_one_spacing_brings_the_second_order_back(support: dict[str, Any], evaluator: Evaluator) -> None:
    """The error of ∫ (2 + y) dy over the support at 20, 80 and 320 points; a sharp one is of order 1."""
    errors: dict[float, list[float]] = {0.0: [], 1.0: []}
    for edge, actual in errors.items():
        for points in (20, 80, 320):
            field = Field.on_grid(torch.ones(1, points, 1).double())
            x, spacing = field.positions, 2 / points
            low, high = (-1.0, x) if "causal" in support else ((x - 0.37).clamp(min=-1), (x + 0.37).clamp(max=1))
            exact = (2 * high + high**2 / 2) - (2 * low + low**2 / 2)
            kernel = One(Support(**support, edge=edge * spacing))
            field = field.replace(weights=field.weights * 2)
            sums = evaluator(kernel.problem(field, field, (2 + x).unsqueeze(2))).squeeze(2)
            actual.append(float((sums - exact).abs().max()))
    assert errors[1.0][2] < errors[1.0][1] / 10 < errors[1.0][0] / 100
    assert errors[0.0][2] > errors[0.0][0] / 64
    assert errors[1.0][2] < errors[0.0][2] / 100


class One(Kernel[Tensor, None]):
    """k = 1."""

    heads = 1

    def __init__(self, support: Support) -> None:
        super().__init__()
        self.support = support

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return the positions."""
        return query.positions, key.positions

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Return 1."""
        return query_terms.new_ones(len(query_terms), 1, query_terms.shape[1], key_terms.shape[1])


@given(st.lists(st.floats(0.0, 2.0) | st.none(), min_size=4, max_size=4), st.booleans())
def test_intersection(lengths: list[float | None], causal: bool) -> None:
    first = Support(radius=lengths[0], window=lengths[1], causal=0 if causal else None)
    second = Support(radius=lengths[2], window=lengths[3])
    x, y = (2 * torch.rand(1, 9, 2, generator=torch.Generator().manual_seed(seed)) - 1 for seed in (0, 1))
    assert torch.equal((first & second).mask(x, y), first.mask(x, y) & second.mask(x, y))
    assert first & second == second & first


@pytest.mark.parametrize(
    "other", [Support(causal=1), Support(radius=1.0, edge=0.1), Support(causal="t"), Support(window=1.0, edge=0.3)]
)
def test_an_intersection_has_one_causal_axis_and_one_edge(other: Support) -> None:
    with pytest.raises(ConfigError, match="one causal axis and one edge"):
        Support(causal=0, edge=0.2) & other
    assert (Support(causal=0, edge=0.2) & Support()).edge == 0.2
