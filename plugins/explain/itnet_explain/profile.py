"""The position part of a kernel, E[k | x, y] over contents, as a function of x − y."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from itnet_explain.recording import Call
from itnet_explain.variance import crossed, draw_contents

CONTENTS, SAMPLES = 3, 4
"""Contents of either side, from each of some samples, that the position part is a mean over."""

PAIRS, DRAWN = 2048, 1 << 16
"""Pairs of positions that it is computed at, and pairs that these are chosen from."""

DISTINCT, BINS = 65, {1: 65, 2: 25}
"""Largest number of distinct values of a coordinate that are kept as they are, and of bins otherwise."""

SMALLEST = 1e-6
"""A coordinate varies if its extent is larger than this."""


@dataclass(frozen=True)
class Profile:
    """The position part of a kernel as a function of x − y.

    Example:
        >>> from itnet_explain import Call
        >>> field = Field.on_grid(torch.randn(2, 5, 8))
        >>> found = profile(Call("operator", MLPKernel(8, position_dim=1), field, field))
        >>> found.displacements.shape, found.values.shape
        (torch.Size([9, 1]), torch.Size([4, 9]))

    Attributes:
        displacements: x − y in the one or two coordinates that vary, (n, 1 or 2); ‖x − y‖, (n, 1), if more vary.
        values: the mean of k over contents and over pairs of this displacement, (heads, n).
        distance: whether the displacements are ‖x − y‖.
    """

    displacements: Tensor
    values: Tensor
    distance: bool


@torch.no_grad()
def profile(call: Call, *, seed: int = 0) -> Profile | None:
    """Estimate the position part of a kernel whose terms depend on single points; `None` if all points coincide."""
    generator = torch.Generator().manual_seed(seed)
    pairs = _pairs(call, generator)
    displacement = (pairs[0] - pairs[1]).double().cpu()
    moving = displacement.abs().amax(0) > SMALLEST
    if not moving.any():
        return None
    distance = int(moving.sum()) > 2
    displacement = displacement[:, moving]
    coordinates = displacement.norm(dim=1, keepdim=True) if distance else displacement
    centres, bins = zip(*(_bins(column, BINS[coordinates.shape[1]]) for column in coordinates.T), strict=True)
    groups, labels = torch.unique(torch.stack(bins, 1), dim=0, return_inverse=True)
    kept = _some_of_each(labels, max(4, PAIRS // len(groups)))
    labels, chosen = labels[kept], kept.to(call.query.device)
    batch = min(SAMPLES, len(call.query.values))
    contents = [draw_contents(side, CONTENTS, generator)[:batch] for side in (call.query, call.key)]
    positions = pairs[0][chosen], pairs[1][chosen]
    k = [crossed(call.kernel, u, v, positions).double().mean((2, 3)) for u, v in zip(*contents, strict=True)]
    values = _means(torch.stack(k).mean(0).cpu(), labels, len(groups))
    displacements = torch.stack([at[number] for at, number in zip(centres, groups.T, strict=True)], 1)
    return Profile(displacements, values.T, distance)


def _pairs(call: Call, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return pairs of positions in the support in random order: all of a sample, or as many as are drawn."""
    x, y = call.query.positions[0][call.query.mask[0]], call.key.positions[0][call.key.mask[0]]
    if len(x) * len(y) > DRAWN:
        return call.draw_pairs(DRAWN, generator)
    rows, columns = call.kernel.support.mask(x.unsqueeze(0), y.unsqueeze(0))[0].nonzero(as_tuple=True)
    order = torch.randperm(len(rows), generator=generator).to(rows.device)
    return x[rows[order]], y[columns[order]]


def _bins(column: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Return the distinct values of a coordinate, or the centres of bins if there are many, and the number of each."""
    low, high = column.min(), column.max()
    scaled = (column - low) / (high - low).clamp(min=SMALLEST)
    distinct, numbers = torch.unique((scaled * 1e4).round(), return_inverse=True)
    if len(distinct) <= DISTINCT:
        return _means(column.unsqueeze(1), numbers, len(distinct)).squeeze(1), numbers
    centres = low + (high - low) * (torch.arange(bins) + 0.5) / bins
    return centres, (scaled * bins).long().clamp(max=bins - 1)


def _some_of_each(labels: Tensor, most: int) -> Tensor:
    """Return the indices of the first `most` pairs of each label."""
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels)
    first = (counts.cumsum(0) - counts)[labels[order]]
    return order[torch.arange(len(labels)) - first < most]


def _means(values: Tensor, labels: Tensor, groups: int) -> Tensor:
    sums = values.new_zeros(groups, values.shape[1]).index_add_(0, labels, values)
    return sums / torch.bincount(labels, minlength=groups).unsqueeze(1)
