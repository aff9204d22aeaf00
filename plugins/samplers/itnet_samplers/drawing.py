"""Draw M of N points by their probabilities, with their expected counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Method = Literal["systematic", "stratified", "independent", "priority"]
Uniforms = Callable[[int], Tensor]
"""Draws n numbers from [0, 1) for each query, (B, Q, n), or (1, Q, n) shared by all samples."""


class Draw(NamedTuple):
    """The drawn points.

    Attributes:
        indices: shape (B, Q, M).
        expected: the expected number of draws of each point, M p or its inclusion probability π, (B, Q, M); infinite
            for entries without a point, in samples with fewer points than M.
    """

    indices: Tensor
    expected: Tensor


@torch.no_grad()
def draw(p: Tensor, count: int, method: Method, uniforms: Uniforms) -> Draw:
    """Draw points so that Σ_m g(y_m) / expected_m is an unbiased estimate of Σ_j g(y_j) for every g.

    With replacement, draw m is the point at which the cumulative sum of p exceeds u_m (importance sampling, with M p_j
    draws expected):

    - `independent`: u_m uniform. Plain Monte Carlo: the variance of one draw, divided by M.
    - `stratified`: u_m uniform in the m-th of M equal intervals; the variance is never larger.

    Without replacement, a point is drawn at most once, with probability π_j = min(1, c p_j), where c gives Σ_j π_j = M,
    and has the weight 1 / π_j (Horvitz & Thompson, JASA 47, 1952). A point with π_j = 1 adds no variance; if there are
    no more than M points, all are drawn and the sum is exact.

    - `systematic`: the points at which the cumulative sum of π exceeds u, u + 1, …, for a single u (Madow, Ann. Math.
      Stat. 20, 1949). The variance is low if similar points follow each other, and may be high for data with a period
      of M points.
    - `priority`: the M largest p_j / u_j; with the next largest as the threshold τ, weights are those of
      π_j = min(1, p_j / τ) (Duffield, Lund & Thorup, J. ACM 54, 2007). The expectation is over τ too, and any two
      points' contributions are uncorrelated, in every order.

    Args:
        p: at least 0, with any sum > 0, shape (B, N); a point with p = 0 is never drawn.
        count: M < N. In a sample with no more points than that, every method draws each point once.
        method: one of the above.
        uniforms: the random numbers.
    """
    p = p.to(torch.float64)
    if method == "priority":
        return _priority(p, count, uniforms)
    numbers = torch.arange(count, device=p.device, dtype=p.dtype)
    if method == "systematic":
        share, thresholds = inclusion(p, count), uniforms(1) + numbers
    else:
        share = p * (count / p.sum(-1, keepdim=True))
        thresholds = uniforms(count) * count if method == "independent" else uniforms(count) + numbers
    few = (p > 0).sum(-1, keepdim=True) <= count
    share = torch.where(few, (p > 0).to(p.dtype), share)
    thresholds = torch.where(few.unsqueeze(-1), numbers, thresholds)
    passed = share.cumsum(-1)
    total = passed[:, -1:].contiguous()
    indices = torch.searchsorted(passed, thresholds.flatten(1), right=True)
    indices = indices.minimum(
        torch.searchsorted(passed, total)
    )  # rounding may leave the last threshold beyond all points
    expected = share.gather(-1, indices).view_as(thresholds)
    return Draw(indices.view_as(thresholds), expected.masked_fill(thresholds >= total.round().unsqueeze(-1), torch.inf))


def inclusion(p: Tensor, count: int) -> Tensor:
    """Compute π = min(1, c p) with Σ π = M, of shape (B, N); 1 for all points with p > 0 if they are at most M.

    With π = 1 for the k largest p, the others share M − k. k is the smallest number for which no other π exceeds 1; it
    is at most M.
    """
    largest, where = p.topk(min(count, p.shape[-1]), dim=-1)
    beyond = p.scatter(-1, where, 0.0).sum(-1, keepdim=True)
    rest = beyond + largest.flip(-1).cumsum(-1).flip(-1)  # the sum of all but the k largest; a difference would cancel
    remaining = count - torch.arange(largest.shape[-1], device=p.device, dtype=p.dtype)
    fits = remaining * largest <= rest * (1 + 1e-12)
    k = torch.where(fits.any(-1), fits.int().argmax(-1), largest.shape[-1] - 1).unsqueeze(-1)
    share = (p * (remaining.expand_as(rest).gather(-1, k) / rest.gather(-1, k))).clamp(max=1)
    few = (p > 0).sum(-1, keepdim=True) <= count
    return torch.where(few, (p > 0).to(p.dtype), share)


def _priority(p: Tensor, count: int, uniforms: Uniforms) -> Draw:
    p = p.unsqueeze(1)
    priorities, order = (p / (1 - uniforms(p.shape[-1]))).topk(count + 1, dim=-1)
    indices, threshold = order[..., :-1], priorities[..., -1:]
    chosen = p.expand(*order.shape[:-1], -1).gather(-1, indices)
    return Draw(indices, torch.where(chosen > 0, (chosen / threshold).clamp(max=1), torch.inf))
