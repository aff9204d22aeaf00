"""What causal kernels share about time: the order of points, and sums over the past."""

from __future__ import annotations

import torch
from torch import Tensor

from itnet_core import AXES, Points, Support
from itnet_core.operator.points import take


def ordered_alone(axis: str | int, axes: str) -> bool:
    """Return whether an axis of time is the only one of `AXES` that points differ on, so that it orders them."""
    return axes == AXES[Support(causal=axis).causal_axis(len(AXES))]


def in_order(query: Points, key: Points, support: Support) -> bool:
    """Whether both sides have the same times along the causal axis, each later than the one before it."""
    if query.positions.shape != key.positions.shape:
        return False
    axis = support.causal_axis(key.positions.shape[-1])
    time = key.positions[..., axis]
    return torch.equal(query.positions[..., axis], time) and bool((time.diff(dim=-1) > 0).all())


def is_equidistant(time: Tensor) -> bool:
    """Whether times (B, N) lie on a line of equal steps, the same in all samples, as far as their dtype can tell."""
    precise = time.detach().double()
    count = time.shape[-1]
    step = (precise[0, -1] - precise[0, 0]) / max(count - 1, 1)
    line = precise[:, :1] + step * torch.arange(count, device=time.device)
    rounding = 2 * torch.finfo(time.dtype).eps * precise.abs().max()
    return bool((precise - line).abs().max() <= rounding)


def potentials(increments: Tensor, query: Tensor, key: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return T(t) = Σ_{s: t_s ≤ t} w_s increment_s at the query's and at the key's times.

    A product of gates over a path, ∏_{s < r ≤ t} a_r, is then exp(T(t) − T(s)) with increments log a. Points of equal
    time share one potential, so that their order is nothing; points of weight 0 add nothing, and one that stands for
    several, as a sampler's landmark does, passes the time of all. The sums are made and
    returned in float64, whatever the increments' dtype: a tile subtracts two of them, and the difference of sums of
    thousands of logarithms of gates near 0 would be lost otherwise.

    Args:
        increments: at the key's points, (B, M, ...).
        query: times, (B, N).
        key: times, (B, M).
        weights: of the key's points, (B, M).

    Returns:
        Shapes (B, N, ...) and (B, M, ...), in float64.
    """
    present = (weights > 0).view(*weights.shape, *[1] * (increments.ndim - 2))
    increments = increments.double().masked_fill(~present, 0.0)
    increments = increments * weights.view(present.shape)
    if query.shape == key.shape and torch.equal(query, key):
        if bool((key.diff(dim=-1) > 0).all()):
            sums = increments.cumsum(1)
            return sums, sums
        sums = _looked_up(increments, key, key)
        return sums, sums
    return _looked_up(increments, query, key), _looked_up(increments, key, key)


def _looked_up(increments: Tensor, time: Tensor, key: Tensor) -> Tensor:
    """Return the sums of the increments at keys up to each time, times (B, n) and keys (B, M) in any order."""
    dtype = torch.promote_types(time.dtype, key.dtype)
    ordered, order = key.to(dtype).sort(dim=-1)
    sums = take(increments, order).cumsum(1)
    sums = torch.cat([torch.zeros_like(sums[:, :1]), sums], dim=1)
    return take(sums, torch.searchsorted(ordered, time.to(dtype).contiguous(), right=True))
