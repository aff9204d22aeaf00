"""The sum of an MLP kernel of x−y alone over a window or a radius on a grid, as a convolution."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_core.operator.points import Points, distinct
from itnet_core.operator.precision import exact_dtype
from itnet_core.operator.support import Support

CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Taps(NamedTuple):
    """The displacements within a support on a grid.

    Example:
        >>> Taps(grid=(2, 4), reach=(1, 1), offsets=torch.zeros(9, 2)).cells()
        tensor([0, 1, 2, 3, 3, 4, 5, 6], dtype=torch.int32)

    Attributes:
        grid: sizes of the grid, without axes of one point.
        reach: steps from a query to its farthest key along each axis.
        offsets: y − x of the taps, (taps, p), row-major over 2 · reach + 1 steps along each axis.
    """

    grid: tuple[int, ...]
    reach: tuple[int, ...]
    offsets: Tensor

    def cells(self) -> Tensor:
        """Return a number of each point, (N,), int32: the tap of a pair is cells[y] − cells[x] + taps // 2."""
        cells = torch.zeros(1, dtype=torch.int32)
        for size, reach in zip(self.grid, self.reach, strict=True):
            along = torch.arange(size, dtype=torch.int32)
            cells = (cells.unsqueeze(1) * (2 * reach + 1) + along).flatten()
        return cells


def taps_of(points: Points, support: Support) -> Taps | None:
    """Return the taps of a support with a radius or a window on a regular grid, or `None` if the points are not one.

    The grid has to be aligned with the coordinates, have one to three axes, and be the same for all samples. The result
    is also `None` if rounding decides whether a tap is in the support, since that may differ from query to query.
    """
    positions = distinct(points.positions.detach())
    if points.grid is None or positions.shape[0] > 1:
        return None
    sizes = tuple(size for size in points.grid if size > 1)
    grid = positions[0].view(*sizes, -1)
    if len(sizes) not in CONVOLUTIONS:
        return None
    exact, precision = grid.to(exact_dtype(grid.device)), torch.finfo(grid.dtype).eps
    tolerance = 64 * precision * float(exact.abs().amax())
    steps: list[Tensor] = []
    for axis, size in enumerate(sizes):
        lines = exact.movedim(axis, 0).reshape(size, -1, exact.shape[-1])  # (size, lines, p)
        step = lines[1, 0] - lines[0, 0]
        moving = int(step.abs().argmax())
        along = lines[..., moving]
        even = along[0, 0] + step[moving] * torch.arange(size, device=step.device)
        aligned = step.count_nonzero() == 1 and not any(other[moving] for other in steps)
        if not aligned or (along != along[:, :1]).any() or (along[:, 0] - even).abs().amax() > tolerance:
            return None
        steps.append(step)
    reaches = [length for length in (support.radius, support.window) if length is not None]
    farthest = min(reaches) + support.edge / 2 + tolerance
    lengths = [float(step.abs().amax()) for step in steps]
    reach = tuple(min(size - 1, int(farthest / length)) for size, length in zip(sizes, lengths, strict=True))
    indices = torch.tensor(list(product(*(range(-r, r + 1) for r in reach))), dtype=exact.dtype, device=grid.device)
    offsets = indices @ torch.stack(steps)
    if not support.edge:
        distances = offsets.square().sum(-1).sqrt(), offsets.abs().amax(-1)
        for distance, bound in zip(distances, (support.radius, support.window), strict=True):
            if bound is not None and ((distance - bound).abs() <= 4 * tolerance).any():
                return None
    return Taps(sizes, reach, offsets.to(grid.dtype))


def convolve(taps: Taps, weight: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute a convolution on a grid, (B, N, out channels).

    Args:
        taps: the displacements within the support.
        weight: matrices of the taps, (out channels, channels / groups, taps), as many groups as fit the values.
        values: values times weights, (B, N, channels).
        bias: (out channels,).
    """
    image = torch.unflatten(values.transpose(1, 2), 2, taps.grid)
    weight = torch.unflatten(weight, 2, [2 * reach + 1 for reach in taps.reach])
    groups = values.shape[2] // weight.shape[1]
    out = CONVOLUTIONS[len(taps.grid)](image, weight, bias, padding=taps.reach, groups=groups)
    return out.flatten(2).transpose(1, 2)
