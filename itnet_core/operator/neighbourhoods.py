"""Groups of near query points, and the key points within reach of each group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from itnet_core.operator.points import Points, distinct
from itnet_core.operator.precision import exact_dtype
from itnet_core.operator.support import Support

if TYPE_CHECKING:
    from itnet_core.operator.kernel import Problem

GROUP = 8
"""Largest number of query points in a group. In a larger group, the keys are shared by queries that lie farther
apart; with smaller groups, keys are gathered more often."""
CANDIDATES = 1 << 21
"""Number of (group, key) pairs that are tested at a time."""
FINE_BITS = 3
"""Bits per coordinate of the Z-order of points within a cell."""


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Groups of near query points, and the key points within reach of each group.

    Points of a batch are numbered through it: point i of sample b has the number b · N + i.

    Example:
        >>> kernel = MLPKernel(8, position_dim=2, support={"window": 0.1})
        >>> image = Field.on_grid(torch.randn(1, 16, 16, 8))
        >>> near = neighbourhoods(kernel.problem(image, image, values=torch.randn(1, 256, 4, 2)))
        >>> near.pairs / 256**2  # the share of all pairs that is computed
        0.03125

    Attributes:
        queries: numbers of each group's query points, (groups, GROUP); −1 after the last one.
        order: numbers of all key points, sorted so that near points follow each other, (B · M,).
        ranks: indices into `order` of the first group's keys, then of the second's, and so on, int32.
        starts: index in `ranks` of each group's first key, and the length of `ranks`, (groups + 1,).
    """

    queries: Tensor
    order: Tensor
    ranks: Tensor
    starts: Tensor

    @cached_property
    def pairs(self) -> int:
        """Number of (query, key) pairs in all groups; reading it waits for a GPU."""
        return int(((self.queries >= 0).sum(1) * self.starts.diff()).sum())


def neighbourhoods(problem: Problem) -> Neighbourhoods:
    """Return the neighbourhoods of a problem whose support has a radius or a window.

    Every pair of the support is a pair of some group. Neighbourhoods depend on positions and support alone; in a self
    transform they are cached with the points, so that the blocks of a trunk share them. Apart from sorting, the time is
    linear in points and pairs.

    Example:
        >>> kernel = MLPKernel(8, position_dim=2, support={"window": 0.1})
        >>> image = Field.on_grid(torch.randn(1, 16, 16, 8))
        >>> neighbourhoods(kernel.problem(image, image, torch.randn(1, 256, 4, 2))).queries.shape
        torch.Size([32, 8])
    """
    support = problem.kernel.support
    if problem.query is problem.key:
        return problem.key.cached(_of_points, None, support)
    return _of_points(problem.key, problem.query, support)


@torch.no_grad()
def _of_points(key: Points, query: Points | None, support: Support) -> Neighbourhoods:
    query = key if query is None else query
    x, y = distinct(query.positions.detach()), distinct(key.positions.detach())
    samples, batch = max(x.shape[0], y.shape[0]), key.positions.shape[0]
    x, y = x.expand(samples, -1, -1), y.expand(samples, -1, -1)
    cells = _Cells.around(x, y, query)
    of_query, of_key = cells.numbers(x), cells.numbers(y)
    query_order = _order(of_query, cells.fine(x))
    order = _order(of_key, cells.fine(y))
    queries = _groups(of_query.flatten()[query_order], query_order)
    x, y = x.flatten(0, 1), y.flatten(0, 1)
    own = x[queries.where(queries >= 0, queries[:, :1])]
    low, high = own.amin(1), own.amax(1)
    sample = queries[:, 0] // query.positions.shape[1]
    parts, counts = [], []
    starts, lengths = cells.runs(sample, low, high, support, of_key.flatten()[order])
    for groups in _chunks(lengths.sum(1)):
        group, ranks = _expand(starts[groups], lengths[groups])
        near = support.reaches(
            *(box[groups][group].unsqueeze(1) for box in (low, high)), *[y[order[ranks]][:, None]] * 2
        )
        group, ranks = group[near.flatten()], ranks[near.flatten()]
        parts.append(ranks.to(torch.int32))
        counts.append(torch.bincount(group, minlength=groups.stop - groups.start))
    count = torch.cat(counts)
    ranks = torch.cat(parts)
    if batch > samples:  # samples that share their points
        queries = _repeat(queries, query.positions.shape[1], batch, queries >= 0)
        order, ranks = _repeat(order, y.shape[0], batch), _repeat(ranks, y.shape[0], batch)
        count = count.repeat(batch)
    return Neighbourhoods(queries, order, ranks, torch.cat([count.new_zeros(1), count.cumsum(0)]))


def _repeat(numbers: Tensor, points: int, batch: int, valid: Tensor | None = None) -> Tensor:
    """Repeat point numbers for each sample of a batch, shifted by `points` from one to the next where `valid`."""
    by_sample = numbers + points * torch.arange(batch, device=numbers.device).view(-1, *[1] * numbers.ndim)
    if valid is not None:
        by_sample = torch.where(valid, by_sample, numbers)
    return by_sample.flatten(0, 1).to(numbers.dtype)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Equal boxes, of about `GROUP` query points each if the points are spread evenly.

    Attributes:
        origin: lower corner of the first box, (p,).
        size: of a box, (p,).
        counts: number of boxes along each coordinate.
    """

    origin: Tensor
    size: Tensor
    counts: tuple[int, ...]

    @classmethod
    def around(cls, x: Tensor, y: Tensor, query: Points) -> _Cells:
        """Return boxes around query points (S, N, p) and key points (S, M, p)."""
        exact = exact_dtype(x.device)
        low = torch.minimum(x.amin((0, 1)), y.amin((0, 1))).to(exact)
        high = torch.maximum(x.amax((0, 1)), y.amax((0, 1))).to(exact)
        extent = high - low
        if query.grid is not None and x.shape[1] > 1:
            spacing = _spacing(x, query.grid).to(exact)  # (axes, p)
            size, origin = (spacing * _shares(len(spacing)).to(spacing)).amax(0), low - spacing.amax(0) / 2
        else:
            wide = extent > 1e-6 * extent.amax()
            boxes = max(1.0, x.shape[1] / GROUP)
            side = (extent[wide].log().sum().exp() / boxes) ** (1 / max(1, int(wide.sum())))
            size, origin = torch.where(wide, side, extent), low
        size = torch.where(size > 0, size, 1.0)
        counts = ((high - origin) / size).floor().long() + 1
        return cls(origin, size, tuple(counts.tolist()))

    def indices(self, positions: Tensor) -> Tensor:
        """Return the box of each point along each coordinate, (..., p)."""
        return ((positions.to(self.size.dtype) - self.origin) / self.size).floor().long()

    def numbers(self, positions: Tensor) -> Tensor:
        """Return the number of each point's box, (S, N); boxes are numbered through all samples."""
        sample = torch.arange(positions.shape[0], device=positions.device).unsqueeze(1)
        return self._number(sample, self.indices(positions))

    def fine(self, positions: Tensor) -> Tensor:
        """Return a number that orders the points of a box along a Z-shaped curve, less than 2^(p · FINE_BITS)."""
        share = (positions.to(self.size.dtype) - self.origin) / self.size
        steps = ((share - share.floor()) * 2**FINE_BITS).long()
        code = torch.zeros_like(steps[..., 0])
        for bit in reversed(range(FINE_BITS)):
            for axis in steps.unbind(-1):
                code = code * 2 + ((axis >> bit) & 1)
        return code

    def runs(
        self, sample: Tensor, low: Tensor, high: Tensor, support: Support, numbers: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the starts and the lengths of the runs of sorted keys that may be within reach of boxes of queries.

        Args:
            sample: the sample of each box, (groups,).
            low: lower corners of the boxes, (groups, p).
            high: upper corners, (groups, p).
            support: a support with a radius or a window.
            numbers: the number of each key's cell, sorted.

        Returns:
            Two tensors (groups, runs).
        """
        lengths = [length for length in (support.radius, support.window) if length is not None]
        largest = torch.maximum(low.abs().amax(), high.abs().amax()).to(self.size.dtype)
        reach = (min(lengths) + support.edge / 2) * (1 + 1e-6) + 16 * torch.finfo(low.dtype).eps * largest
        sizes = torch.tensor(self.counts, device=low.device)
        above = reach.expand(low.shape[-1]).clone()
        if support.causal is not None:
            above[support.causal_axis(low.shape[-1])] = 0.0
        first = self.indices(low.to(reach.dtype) - reach).clamp(min=0).minimum(sizes - 1)
        last = self.indices(high.to(reach.dtype) + above).clamp(min=0).minimum(sizes - 1)
        spans = (last - first + 1).amax(0)[:-1].tolist()
        steps = torch.tensor(list(product(*map(range, spans))), dtype=first.dtype, device=low.device)
        rows = first[:, None, :-1] + steps
        inside = (rows <= last[:, None, :-1]).all(-1)
        sample = sample.unsqueeze(1)
        ends = [torch.cat([rows, end[:, None, -1:].expand(-1, rows.shape[1], -1)], -1) for end in (first, last)]
        start = torch.searchsorted(numbers, self._number(sample, ends[0]))
        stop = torch.searchsorted(numbers, self._number(sample, ends[1]), right=True)
        return start, torch.where(inside, stop - start, 0)

    def _number(self, sample: Tensor, indices: Tensor) -> Tensor:
        number = sample
        for count, index in zip(self.counts, indices.unbind(-1), strict=True):
            number = number * count + index
        return number


def _spacing(x: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Return the distance of neighbours along each axis of a grid that has several points, (axes, p)."""
    steps, stride = [], x.shape[1]
    for size in grid:
        stride //= size
        if size > 1:
            steps.append((x[0, stride] - x[0, 0]).abs())
    return torch.stack(steps)


def _shares(axes: int) -> Tensor:
    """Return the points of a group along each axis of a grid: 8, 2 · 4 or 2 · 2 · 2, (axes, 1)."""
    doublings = torch.arange(axes).flip(0) < (GROUP.bit_length() - 1) % axes
    return 2 ** ((GROUP.bit_length() - 1) // axes + doublings.long()).unsqueeze(1)


def _order(numbers: Tensor, fine: Tensor) -> Tensor:
    """Sort the points of all samples by cell, and within it."""
    return (numbers * (int(fine.amax()) + 1) + fine).flatten().argsort()


def _groups(cells: Tensor, order: Tensor) -> Tensor:
    """Cut sorted points into groups of up to `GROUP` of one cell, (groups, GROUP), −1 after the last."""
    index = torch.arange(len(cells), device=cells.device)
    new = torch.ones_like(cells, dtype=torch.bool)
    new[1:] = cells[1:] != cells[:-1]
    within = index - torch.where(new, index, 0).cummax(0).values
    group = ((within % GROUP) == 0).cumsum(0) - 1
    queries = order.new_full((int(group[-1]) + 1, GROUP), -1)
    queries[group, within % GROUP] = order
    return queries


def _chunks(candidates: Tensor) -> Iterator[slice]:
    """Yield slices of groups with about `CANDIDATES` candidates each."""
    chunk = (candidates.cumsum(0) // CANDIDATES).tolist()
    start = 0
    for stop in range(1, len(chunk) + 1):
        if stop == len(chunk) or chunk[stop] != chunk[start]:
            yield slice(start, stop)
            start = stop


def _expand(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Expand runs, (groups, runs), to the group and the index of each element: start, start + 1, …"""
    row = torch.arange(len(starts), device=starts.device).unsqueeze(1).expand_as(starts)
    starts, lengths, row = (t.reshape(-1) for t in (starts, lengths, row))
    before = lengths.cumsum(0) - lengths
    total = int(lengths.sum())
    index = torch.arange(total, device=starts.device)
    shift = (starts - before).repeat_interleave(lengths, output_size=total)
    return row.repeat_interleave(lengths, output_size=total), index + shift
