"""Points in time: their order, equal steps, and sums of increments along a path."""

from __future__ import annotations

import torch
from torch import Tensor

from itnet_core import Points, Support, gather_points


def in_order(query: Points, key: Points, support: Support) -> bool:
    """Whether both sides have the same times on the causal axis, strictly increasing."""
    if query.positions.shape != key.positions.shape:
        return False
    axis = support.causal_axis(key.positions.shape[-1])
    time = key.positions[..., axis]
    return torch.equal(query.positions[..., axis], time) and bool((time.diff(dim=-1) > 0).all())


def is_equidistant(time: Tensor) -> bool:
    """Whether times (B, N) have equal steps, the same in all samples, up to the rounding of their dtype."""
    exact = time.detach().double()
    count = time.shape[-1]
    step = (exact[0, -1] - exact[0, 0]) / max(count - 1, 1)
    line = exact[:, :1] + step * torch.arange(count, device=time.device)
    rounding = 2 * torch.finfo(time.dtype).eps * exact.abs().max()
    return bool((exact - line).abs().max() <= rounding)


def potentials(increments: Tensor, query: Tensor, key: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Compute potentials T(t) = Σ_{s: t_s ≤ t} w_s increment_s at the query's and at the key's times.

    With increments log a, a product of gates along a path is ∏_{s < r ≤ t} a_r = exp(T(t) − T(s)). Points of equal time
    share one potential, so their order does not matter; padding adds nothing, and the weight of a landmark counts the
    points that it represents. Sums are computed and returned in float64, whatever the dtype of the increments: a tile
    subtracts two of them, and the sums of thousands of logarithms of gates near 0 cancel.

    Args:
        increments: at the key's points, (B, M, ...).
        query: times, (B, N).
        key: times, (B, M).
        weights: of the key's points, (B, M).

    Returns:
        Shapes (B, N, ...) and (B, M, ...), in float64.
    """
    mask = (weights > 0).view(*weights.shape, *[1] * (increments.ndim - 2))
    increments = increments.double().masked_fill(~mask, 0.0)
    increments = increments * weights.view(mask.shape)
    if torch.compiler.is_exporting():  # by matrices of pairs, without reading numbers
        query_sums, key_sums = (
            (key.unsqueeze(1) <= time.unsqueeze(2)).to(increments.dtype) @ increments for time in (query, key)
        )
        return query_sums, key_sums
    if query.shape == key.shape and torch.equal(query, key):
        if bool((key.diff(dim=-1) > 0).all()):
            sums = increments.cumsum(1)
            return sums, sums
        sums = _sum_up_to(increments, key, key)
        return sums, sums
    return _sum_up_to(increments, query, key), _sum_up_to(increments, key, key)


def _sum_up_to(increments: Tensor, time: Tensor, key: Tensor) -> Tensor:
    """Sum the increments at the keys, (B, M) in any order, up to each of the times, (B, n)."""
    dtype = torch.promote_types(time.dtype, key.dtype)
    ordered, order = key.to(dtype).sort(dim=-1)
    sums = gather_points(increments, order).cumsum(1)
    sums = torch.cat([torch.zeros_like(sums[:, :1]), sums], dim=1)
    return gather_points(sums, torch.searchsorted(ordered, time.to(dtype).contiguous(), right=True))
