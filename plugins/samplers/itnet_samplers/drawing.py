"""Drawing M points from N by their probabilities, and how often each is to be expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Method = Literal["systematic", "stratified", "independent", "priority"]
Uniforms = Callable[[int], Tensor]
"""Gives n numbers from [0, 1) for each query of each sample, (B, Q, n), or for each of any sample, (1, Q, n)."""


class Draw(NamedTuple):
    """Which points were drawn.

    Attributes:
        indices: shape (B, Q, M).
        expected: how often each of them is drawn in the mean, M p or the probability π of its being drawn, (B, Q, M);
            infinite for places that nothing was drawn for, since the sample has fewer points than M.
    """

    indices: Tensor
    expected: Tensor


@torch.no_grad()
def draw(p: Tensor, count: int, method: Method, uniforms: Uniforms) -> Draw:
    """Draw points so that Σ_m g(y_m) / expected_m is an unbiased estimate of Σ_j g(y_j) for every g.

    With replacement, every draw m takes the point where the cumulated p passes u_m (importance sampling; the expected
    number of draws is M p_j):

    - `independent`: u_m uniform. Plain Monte Carlo: the variance is that of one draw, divided by M.
    - `stratified`: u_m uniform in the m-th of M equal parts; never a larger variance.

    Without, a point is drawn at most once, with the probability π_j = min(1, c p_j), c such that Σ_j π_j = M, and
    weighs g / π_j (Horvitz & Thompson, JASA 47, 1952). A point that weighs more than its share is then always drawn,
    and adds no variance; if there are no more than M points, all are drawn and the sum is exact.

    - `systematic`: points where the cumulated π passes u, u + 1, …, with a single u (Madow, Ann. Math. Stat. 20, 1949).
      Points that follow each other are drawn in turn, so that an order in which like points are near lowers the
      variance; none of it can be guaranteed for one that has M as a period.
    - `priority`: the M largest of p_j / u_j with their own u_j; with the next one as the threshold τ they weigh as if
      π_j = min(1, p_j / τ) (Duffield, Lund & Thorup, J. ACM 54, 2007). The expectation is over τ, too, and the
      contributions of two points are uncorrelated, whatever their order.

    Args:
        p: at least 0, of any sum > 0, shape (B, N); a point with 0 is never drawn.
        count: M < N. A sample with no more points than that has each once, by every method.
        method: one of those above.
        uniforms: the random numbers.
    """
    p = p.to(torch.float64)
    if method == "priority":
        return _priority(p, count, uniforms)
    numbers = torch.arange(count, device=p.device, dtype=p.dtype)
    if method == "systematic":
        share, places = inclusion(p, count), uniforms(1) + numbers
    else:
        share = p * (count / p.sum(-1, keepdim=True))
        places = uniforms(count) * count if method == "independent" else uniforms(count) + numbers
    few = (p > 0).sum(-1, keepdim=True) <= count
    share = torch.where(few, (p > 0).to(p.dtype), share)
    places = torch.where(few.unsqueeze(-1), numbers, places)
    passed = share.cumsum(-1)
    total = passed[:, -1:].contiguous()
    found = torch.searchsorted(passed, places.flatten(1), right=True)
    indices = found.minimum(torch.searchsorted(passed, total))  # rounding may leave the last place beyond all points
    expected = share.gather(-1, indices).view_as(places)
    return Draw(indices.view_as(places), expected.masked_fill(places >= total.round().unsqueeze(-1), torch.inf))


def inclusion(p: Tensor, count: int) -> Tensor:
    """Return π = min(1, c p) with Σ π = M, of shape (B, N); 1 for all, where no more than M have p > 0.

    With the k largest p at 1 the others share M − k. The right k is the first for which the next one needs no more
    than 1; no more than M are looked at.
    """
    largest, where = p.topk(min(count, p.shape[-1]), dim=-1)
    beyond = p.scatter(-1, where, 0.0).sum(-1, keepdim=True)
    rest = beyond + largest.flip(-1).cumsum(-1).flip(-1)  # the sum of all but the k largest; a difference would cancel
    places = count - torch.arange(largest.shape[-1], device=p.device, dtype=p.dtype)
    fits = places * largest <= rest * (1 + 1e-12)
    k = torch.where(fits.any(-1), fits.int().argmax(-1), largest.shape[-1] - 1).unsqueeze(-1)
    share = (p * (places.expand_as(rest).gather(-1, k) / rest.gather(-1, k))).clamp(max=1)
    few = (p > 0).sum(-1, keepdim=True) <= count
    return torch.where(few, (p > 0).to(p.dtype), share)


def _priority(p: Tensor, count: int, uniforms: Uniforms) -> Draw:
    p = p.unsqueeze(1)
    priorities, order = (p / (1 - uniforms(p.shape[-1]))).topk(count + 1, dim=-1)
    indices, threshold = order[..., :-1], priorities[..., -1:]
    chosen = p.expand(*order.shape[:-1], -1).gather(-1, indices)
    return Draw(indices, torch.where(chosen > 0, (chosen / threshold).clamp(max=1), torch.inf))
