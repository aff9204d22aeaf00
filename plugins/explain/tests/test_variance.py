"""Shares of a kernel's variance."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import Field, Kernel, MLPKernel, ShapeError
from itnet_explain import Call, occurring, shares
from itnet_explain.variance import EXACT, PARTS


class Known(Kernel):
    """k = a + b p + c u + d v + e u v + f p u v for p = x − y on a line and contents u and v of one channel."""

    heads = 1
    pointwise_terms = True

    def __init__(self, *factors: float) -> None:
        super().__init__()
        self.factors = factors

    def project(self, query: Field, key: Field) -> tuple[Any, Any]:
        return (query.values, query.positions), (key.values, key.positions)

    def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
        (u, x), (v, y) = query_terms, key_terms
        u, v, p = u, v.mT, x - y.mT
        a, b, c, d, e, f = self.factors
        return (a + b * p + c * u + d * v + e * u * v + f * p * u * v).unsqueeze(1)


def call(kernel: Kernel, samples: int = 48, points: int = 40, seed: int = 0, dim: int = 1) -> Call:
    generator = torch.Generator().manual_seed(seed)
    field = Field(
        torch.randn(samples, points, dim, generator=generator),
        3**0.5 * (2 * torch.rand(samples, points, 1, generator=generator) - 1),  # of variance 1
    )
    return Call("operator", kernel, field, field)


@pytest.mark.parametrize("part", range(6))
def test_a_kernel_of_one_part_is_all_that_part(part: int) -> None:
    factors = [0.0] * 6
    factors[part] = 1.0
    found = shares(call(Known(*factors)))
    assert float(found.values[0, part]) == pytest.approx(1.0, abs=0.05)
    assert float(found.values.sum()) == pytest.approx(1.0, abs=1e-9)


def test_shares_are_those_of_the_known_variances() -> None:
    factors = (0.5, 1.0, 0.7, 0.4, 0.6, 0.3)
    expected = torch.tensor([0.25, 2.0, 0.49, 0.16, 0.36, 0.18])  # p = x − y has the variance 2
    found = shares(call(Known(*factors)), pairs=512, contents=16)
    assert torch.allclose(found.values[0], (expected / expected.sum()).double(), atol=0.04)


def test_intervals_hold_the_known_shares() -> None:
    factors, inside = (0.5, 1.0, 0.7, 0.4, 0.6, 0.3), torch.zeros(6)
    expected = torch.tensor([0.25, 2.0, 0.49, 0.16, 0.36, 0.18]).double()
    expected = expected / expected.sum()
    for seed in range(20):
        found = shares(call(Known(*factors), samples=16, seed=seed), seed=seed)
        inside += (found.low[0] <= expected) & (expected <= found.high[0])
    assert inside.min() >= 14  # of 20; 19 are expected


def test_the_ablated_kernels_lack_what_they_do_not_read() -> None:
    only_positions = MLPKernel(3, position_dim=1, inputs=("displacement", "distance"))
    only_contents = MLPKernel(3, position_dim=1, inputs=("query", "key", "product"))
    for kernel, parts in ((only_positions, (0, 1)), (only_contents, (0, 2, 3, 4))):
        found = shares(call(kernel, samples=6, dim=3))
        assert torch.allclose(found.values[:, list(parts)].sum(1), torch.ones(4).double(), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "pairs"),
    [
        ({"inputs": ("displacement", "distance"), "support": {"window": 0.9}}, 256),
        ({"inputs": ("query", "key", "product")}, 16),
    ],
    ids=["positions", "contents"],
)
def test_exact_shares_are_what_draws_estimate(
    options: dict[str, Any], pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    asked = call(MLPKernel(1, position_dim=1, **options), samples=24)
    exact = shares(asked, pairs=4)
    monkeypatch.setattr("itnet_explain.variance.EXACT", 0)
    drawn = shares(asked, pairs=pairs, contents=32)
    assert torch.allclose(exact.values, drawn.values, atol=0.05)
    assert float((exact.high - exact.low).sum()) < float((drawn.high - drawn.low).sum())


def test_shares_of_positions_alone_are_those_of_all_pairs() -> None:
    torch.manual_seed(0)
    asked = call(MLPKernel(1, position_dim=1, inputs=("displacement",)), samples=3, points=7)
    k = asked.kernel(*asked.kernel.project(asked.query, asked.key)).double()  # (S, heads, N, M)
    mean, square = k.mean((0, 2, 3)), k.square().mean((0, 2, 3))
    expected = torch.stack([mean.square() / square, 1 - mean.square() / square], 1)
    found = shares(asked)
    assert torch.allclose(found.values[:, :2], expected, atol=1e-6)
    assert torch.equal(found.low, found.high)
    assert torch.equal(found.values[:, 2:], torch.zeros(4, 4).double())


def test_a_large_field_is_drawn_from() -> None:
    points = int(EXACT**0.5) + 1
    found = shares(call(MLPKernel(1, position_dim=1, inputs=("displacement",)), samples=2, points=points), pairs=32)
    assert bool((found.low < found.high)[:, :2].all())


def test_contents_that_tell_their_places_count_as_position_where_pairs_occur() -> None:
    torch.manual_seed(0)
    grid = Field.on_grid(torch.zeros(8, 12, 3))
    encoded = grid.with_values(torch.randn(12, 3).expand(8, -1, -1) + 0.1 * torch.randn(8, 12, 3))
    kernel = MLPKernel(3, position_dim=1, inputs=("query", "key", "product"))
    by_place = occurring(Call("operator", kernel, encoded, encoded))
    by_draws = shares(Call("operator", kernel, encoded, encoded))
    unrelated = grid.with_values(torch.randn(8, 12, 3))
    other = occurring(Call("operator", kernel, unrelated, unrelated))
    assert by_place is not None
    assert other is not None
    assert float(by_place[:, 1].min()) > 0.2
    assert float(by_draws.values[:, 1].abs().max()) < 1e-9
    assert float(other[:, 1].abs().max()) < 0.1


def test_what_occurs_is_what_the_known_variances_give() -> None:
    torch.manual_seed(0)
    grid = Field.on_grid(torch.randn(64, 40, 1))
    found = occurring(Call("operator", Known(0.5, 1.0, 0.7, 0.4, 0.0, 0.0), grid, grid))
    assert found is not None
    x = grid.positions[0, :, 0].double()
    expected = torch.tensor([0.25, float((x.unsqueeze(1) - x).var(correction=0)), 0.7**2 + 0.4**2]).double()
    assert torch.allclose(found[0], expected / expected.sum(), atol=0.04)


def test_what_occurs_leaves_padding_out() -> None:
    torch.manual_seed(0)
    values, weights = torch.randn(6, 10, 1), torch.ones(6, 10)
    weights[:3, 5:] = 0.0
    positions = torch.linspace(-1, 1, 10).view(1, 10, 1).expand(6, -1, -1)
    kernel = Known(0.5, 1.0, 0.7, 0.4, 0.6, 0.3)
    found = []
    for filler in (0.0, float("inf")):
        field = Field(values.masked_fill((weights == 0).unsqueeze(2), filler), positions, weights)
        found.append(occurring(Call("operator", kernel, field, field)))
    assert torch.equal(*found)  # type: ignore[arg-type]


def test_points_of_their_own_positions_tell_nothing_of_what_occurs() -> None:
    assert occurring(call(Known(*[1.0] * 6))) is None


def test_a_sum_of_functions_has_no_interaction() -> None:
    found = shares(call(Known(0.1, 1.0, 1.0, 1.0, 0.0, 0.0)))
    assert abs(float(found.values[0, PARTS.index("interaction")])) < 1e-9


def test_pairs_come_from_the_support() -> None:
    kernel = MLPKernel(1, position_dim=1, support={"causal": 0, "radius": 0.5})
    x, y = call(kernel).draw_pairs(200, torch.Generator().manual_seed(0))
    assert bool(((x - y >= 0) & (x - y <= 0.5)).all())


def test_one_sample_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least two"):
        shares(call(Known(1.0, 1.0, 1.0, 1.0, 1.0, 1.0), samples=1))
