from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from itnet_core import ConfigError, Support

SUPPORTS = st.builds(
    Support,
    causal=st.sampled_from([None, 0, 1]),
    radius=st.none() | st.floats(0, 2),
    window=st.none() | st.floats(0, 2),
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
def test_the_mask_is_the_definition(support: Support, inside) -> None:  # type: ignore[no-untyped-def]
    query, key = torch.randn(1, 6, 2), torch.randn(1, 9, 2)
    expected = [[bool(inside(x, y)) for y in key[0]] for x in query[0]]
    assert support.mask(query, key)[0].tolist() == expected


def test_a_point_is_in_its_own_support() -> None:
    positions = torch.randn(1, 5, 2)
    for support in (Support(causal=0), Support(radius=0.0), Support(window=0.0)):
        assert support.mask(positions, positions)[0].diagonal().all()


@given(support=SUPPORTS, seed=st.integers(0, 99))
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
