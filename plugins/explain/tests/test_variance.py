"""Shares of a kernel's variance."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import Field, Kernel, MLPKernel, ShapeError
from itnet_explain import Call, shares
from itnet_explain.variance import PARTS


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
