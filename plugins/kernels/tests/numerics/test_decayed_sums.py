"""Chunked sums are the sums over pairs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from itnet_kernels.numerics.decayed_sums import _chunk_size, decayed_sums

# How fast potentials fall, and how many points chunks then have, and whether their decays are factors of both sides.
FALLS = {1e-3: (64, True), 3.0: (32, True), 6.0: (16, True), 50.0: (64, False)}


def sides(fall: float, dtype: torch.dtype, points: int = 150) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, points, 2, 5), torch.randn(2, points, 2, 5), torch.randn(2, points, 4, 3))
    increments = -fall * torch.rand(2, points, 4, dtype=torch.float64)
    increments[:, ::7] *= 1e-6
    return q.to(dtype), k.to(dtype), v.to(dtype), increments.cumsum(1)


def by_pairs(q: Tensor, k: Tensor, v: Tensor, potentials: Tensor) -> Tensor:
    level = potentials.mT
    past = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).tril()
    decay = torch.where(past, level.unsqueeze(-1) - level.unsqueeze(-2), -torch.inf).exp()
    scores = torch.einsum("btgn,bsgn->bgts", q, k).repeat_interleave(2, dim=1)
    return torch.einsum("bhts,bshp->bthp", scores * decay, v)


@pytest.mark.parametrize("fall", FALLS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_sums_over_chunks_are_those_over_pairs(fall: float, dtype: torch.dtype) -> None:
    q, k, v, potentials = sides(fall, dtype)
    if dtype == torch.float32:  # whose range sets the chunks
        assert _chunk_size(potentials, dtype) == FALLS[fall]
    expected = by_pairs(q.double(), k.double(), v.double(), potentials)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    actual = decayed_sums(q, k, v, potentials).double()
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


@pytest.mark.parametrize("fall", FALLS)
def test_gradients_are_those_over_pairs(fall: float) -> None:
    leaves = [item.requires_grad_() for item in sides(fall, torch.float64)]
    target = torch.randn(2, 150, 4, 3, dtype=torch.float64)
    actual, expected = (torch.autograd.grad((f(*leaves) * target).sum(), leaves) for f in (decayed_sums, by_pairs))
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12 * float(theirs.abs().max()))


def test_sums_stay_finite_for_extreme_decays() -> None:
    for fall in (1e3, 1e6):
        q, k, v, potentials = (side.requires_grad_() for side in sides(fall, torch.float32))
        out = decayed_sums(q, k, v, potentials)
        gradients = torch.autograd.grad(out.square().sum(), [q, k, v, potentials])
        assert all(bool(item.isfinite().all()) for item in (out, *gradients))
