"""The nearest kernels of other families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import Field, Kernel
from itnet_explain import Call
from itnet_explain.equivalents import draw, explained, nearest

Function = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Given(Kernel):
    """A function of u (n, 1, d), v (1, m, d), x − y (n, m, p) and of the lag along the first axis."""

    heads = 1
    pointwise_terms = True

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def project(self, query: Field, key: Field) -> tuple[Any, Any]:
        return (query.values, query.positions), (key.values, key.positions)

    def tile(self, query_terms: Any, key_terms: Any) -> Tensor:
        (u, x), (v, y) = query_terms, key_terms
        displacement = x.unsqueeze(2) - y.unsqueeze(1)
        return self.function(u.unsqueeze(2), v.unsqueeze(1), displacement, displacement[..., 0]).unsqueeze(1)


LINE: dict[str, Function] = {
    "distance": lambda u, v, d, lag: torch.cos(4 * lag.abs()),
    "recurrence": lambda u, v, d, lag: torch.where(lag >= -1e-6, (-3 * lag).exp(), 0.0),
    "convolution": lambda u, v, d, lag: torch.sin(4 * lag),
    "attention": lambda u, v, d, lag: (u * v).sum(-1) + u[..., 0],
}


def call(function: Function, *, samples: int = 12, grid: tuple[int, ...] = (24,)) -> Call:
    values = torch.randn(samples, *grid, 4, generator=torch.Generator().manual_seed(0))
    field = Field.on_grid(values)
    return Call("operator", Given(function), field, field)


@pytest.mark.parametrize("family", LINE)
def test_a_kernel_of_a_family_is_named_by_it(family: str) -> None:
    shares = {name: float(share[0]) for name, share in explained(draw(call(LINE[family]))).items()}
    assert nearest(shares) == family
    assert shares[family] > 0.98


def test_a_kernel_of_the_plane_has_no_recurrence() -> None:
    shares = explained(draw(call(lambda u, v, d, lag: d[..., 0] * d[..., 1], grid=(7, 7))))
    assert "recurrence" not in shares
    assert float(shares["convolution"][0]) > 0.98


def test_displacements_that_do_not_repeat_are_binned() -> None:
    generator = torch.Generator().manual_seed(0)
    field = Field(torch.randn(40, 30, 4, generator=generator), torch.rand(40, 30, 1, generator=generator))
    shares = explained(draw(Call("operator", Given(LINE["convolution"]), field, field)))
    assert float(shares["convolution"][0]) > 0.97


def test_what_needs_both_is_explained_by_neither() -> None:
    shares = explained(draw(call(lambda u, v, d, lag: torch.sin(9 * lag) * v[..., 0])))
    assert all(float(share[0]) < 0.2 for share in shares.values())


def test_a_constant_is_called_so() -> None:
    shares = explained(draw(call(lambda u, v, d, lag: 2 + 0 * lag)))
    assert nearest({name: float(share[0]) for name, share in shares.items()}) == "constant"
