"""Shares of a kernel's variance: position, content and their interaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from itnet_core import Field, Kernel, ShapeError
from itnet_core.operator.evaluators.dense import weigh_edge
from itnet_explain.moments import TINY, CrossedMoments, shared_by_contents, shared_by_draws
from itnet_explain.recording import Call

PARTS = ("constant", "position", "query", "key", "both", "interaction")
"""The parts of E[k²]: the squared mean; positions alone; contents alone, of the query, of the key and of both; and all
that needs positions and contents together."""

OCCURRING = ("constant", "position", "rest")
"""The parts of E[k²] for pairs as they occur."""

GROUPS, NORMAL = 16, 1.96
"""Groups of pairs of positions for the jackknife, and half the width of an interval of 95% in standard errors."""

EXACT, ROUNDING = 1 << 16, 1e-5
"""Most pairs of points of a sample that are all summed, for a kernel that reads positions alone or contents alone. It
does not read what changes it by less than `ROUNDING` of its largest value."""


@dataclass(frozen=True)
class Shares:
    """The share of each part in E[k²], for each head.

    Example:
        >>> from itnet_explain import Call
        >>> field = Field(torch.randn(4, 9, 8), torch.rand(4, 9, 4))
        >>> shares(Call("operator", MLPKernel(8), field, field)).values.shape
        torch.Size([4, 6])

    Attributes:
        values: of `PARTS`, (heads, 6); they sum to 1. An estimate near 0 may be negative.
        low: lower ends of the intervals of 95%, by the jackknife over samples and over pairs of positions, (heads, 6).
        high: upper ends; those of exact shares are the shares.
    """

    values: Tensor
    low: Tensor
    high: Tensor


@torch.no_grad()
def shares(call: Call, *, pairs: int = 256, contents: int = 8, seed: int = 0) -> Shares:
    """Estimate how much of a kernel's second moment is due to position, to content and to their interaction.

    Pairs of positions p = (x, y), drawn from the support, are combined with all contents u(x) and v(y) drawn from
    points of the same sample, whatever their own positions: the product measure. The components of this nested design
    (samples, then queries × keys within a sample, all crossed with pairs of positions) are estimated without bias by
    products of values that share exactly some of the factors (Searle, Casella & McCulloch, "Variance Components",
    1992). Of a `softmax` kernel, k is the logit.

    A kernel that reads positions alone has exact shares, from all pairs in the support. For one that reads contents
    alone, all contents of a sample are combined, and the intervals tell how much samples differ. Samples of more than
    65,536 pairs of points are drawn from in both cases.

    Contents may tell the places that they come from, such as by a position encoding added to the values; their part
    then counts as content.

    Example:
        >>> from itnet_explain import Call
        >>> field = Field(torch.randn(4, 9, 8), torch.rand(4, 9, 4))
        >>> kernel = MLPKernel(8, inputs=("displacement",))
        >>> found = shares(Call("operator", kernel, field, field))
        >>> bool(found.values[:, PARTS.index("interaction")].abs().max() < 1e-6)
        True

    Args:
        call: a call of the operator, with at least two samples.
        pairs: pairs of positions.
        contents: contents of either side, for each sample.
        seed: of the random choices.

    Raises:
        ShapeError: there is one sample only.
    """
    batch = len(call.query.values)
    if batch < 2:
        raise ShapeError("explain", found="one sample", expected="at least two, to tell content from position")
    generator = torch.Generator().manual_seed(seed)
    positions = call.draw_pairs(pairs, generator)
    query, key = (draw_contents(side, contents, generator) for side in (call.query, call.key))
    k = torch.stack([crossed(call.kernel, query[s], key[s], positions) for s in range(batch)])  # (S, P, heads, I, J)
    k = k.permute(2, 0, 1, 3, 4).double().cpu()
    few = call.query.values.shape[1] * call.key.values.shape[1] <= EXACT
    if few and _same_along(k, (1, 3, 4)):
        exact = _of_positions(call)
        return Shares(exact, exact, exact)
    if few and _same_along(k, (2,)) and batch > 2:
        return _with_intervals(_of_contents(call, positions))
    groups = torch.arange(pairs) * GROUPS // pairs
    without_a_group = [shared_by_draws(k[:, :, groups != group]) for group in range(GROUPS)]
    return _with_intervals(shared_by_draws(k), without_a_group)


def _same_along(k: Tensor, axes: tuple[int, ...]) -> bool:
    return bool((k.amax(axes) - k.amin(axes)).max() <= ROUNDING * k.abs().max())


def _with_intervals(moments: CrossedMoments, without_a_group: Sequence[CrossedMoments] = ()) -> Shares:
    samples = moments.samples
    everything, variance = torch.ones(1, samples, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    values = moments.estimate(everything)[0]
    if samples > 2:
        variance = variance + _jackknife(moments.estimate(1 - torch.eye(samples, dtype=torch.float64)))
    if without_a_group:
        variance = variance + _jackknife(torch.stack([group.estimate(everything)[0] for group in without_a_group]))
    error = NORMAL * variance.sqrt()
    return Shares(values, values - error, values + error)


def _of_positions(call: Call) -> Tensor:
    """Return the shares of a kernel that reads positions alone, (heads, 6), from all pairs in the support."""
    heads = call.kernel.heads
    mean, square = torch.zeros(2, heads, dtype=torch.float64)
    for sample in range(len(call.query.values)):
        (query, key), chance = call.sides(sample), call.chances(sample) / len(call.query.values)
        k = kernel_values(call.kernel, _of_one_content(query), _of_one_content(key))[0].double()
        mean, square = mean + (chance * k).sum((1, 2)).cpu(), square + (chance * k.square()).sum((1, 2)).cpu()
    parts = torch.zeros(heads, len(PARTS), dtype=torch.float64)
    parts[:, 0], parts[:, 1] = mean.square(), square - mean.square()
    return parts / square.clamp(min=TINY).unsqueeze(1)


def _of_one_content(side: Field) -> Field:
    return Field(side.values[:, :1].expand_as(side.values), side.positions)


def _of_contents(call: Call, positions: tuple[Tensor, Tensor]) -> CrossedMoments:
    """Return the moments of a kernel that reads contents alone, from all contents of each sample."""
    k, weights = [], []
    for sample in range(len(call.query.values)):
        sides = call.sides(sample)
        places = (place[0].expand_as(side.positions) for place, side in zip(positions, sides, strict=True))
        k.append(kernel_values(call.kernel, *(Field(s.values, x) for s, x in zip(sides, places, strict=True)))[0])
        weights.append([side.weights[0].double() / side.weights.double().sum() for side in sides])
    return shared_by_contents(k, weights)


@torch.no_grad()
def occurring(call: Call, *, pairs: int = 1024, seed: int = 0) -> Tensor | None:
    """Estimate how much of E[k²] is constant, due to positions, and neither, for pairs as they occur.

    Here each point has its own content, so that contents which tell their places, such as those of a Transformer with a
    position encoding, count as position. The part of positions is the variance of E[k | x, y] over samples, estimated
    without bias by products of values of different samples at the same pair of positions.

    Example:
        >>> from itnet_explain import Call
        >>> field = Field.on_grid(torch.randn(2, 9, 8))
        >>> call = Call("operator", MLPKernel(8, position_dim=1, inputs=("displacement",)), field, field)
        >>> bool(occurring(call)[:, 2].abs().max() < 1e-6)
        True

    Args:
        call: a call of the operator.
        pairs: pairs of positions, within the support.
        seed: of the random choices.

    Returns:
        The shares of `OCCURRING`, (heads, 3), which sum to 1; `None` if the samples' points are at different positions.
    """
    if len(call.query.values) < 2 or not call.aligned:
        return None
    _, rows, columns = call.draw_points(pairs, torch.Generator().manual_seed(seed))
    known = (call.query.mask[:, rows] & call.key.mask[:, columns]).double()  # (S, P)
    fields = (
        Field(side.values[:, numbers].flatten(0, 1).unsqueeze(1), side.positions[:, numbers].flatten(0, 1).unsqueeze(1))
        for side, numbers in ((call.query, rows), (call.key, columns))
    )
    k = kernel_values(call.kernel, *fields).double().view(len(known), pairs, -1).permute(2, 0, 1)
    k = k.masked_fill(known == 0, 0.0)
    square = k.square().sum((1, 2)) / known.sum()
    constant, same_pair = (
        of_k / count.clamp(min=1) for of_k, count in zip(_of_two_samples(k), _of_two_samples(known), strict=True)
    )
    parts = torch.stack([constant, same_pair - constant, square - same_pair], -1) / square.clamp(min=TINY).unsqueeze(-1)
    return parts.cpu()


def _of_two_samples(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of products of values (…, S, P) of two samples: at two pairs of positions, and at the same."""
    squares, at_pairs = values.square().sum((-2, -1)), values.sum(-2).square().sum(-1)
    everything, of_samples = values.sum((-2, -1)).square(), values.sum(-1).square().sum(-1)
    return everything - of_samples - at_pairs + squares, at_pairs - squares


def _jackknife(estimates: Tensor) -> Tensor:
    """Return the variance of an estimate, given those that leave out one part each, (parts, …)."""
    count = len(estimates)
    return (estimates - estimates.mean(0)).square().sum(0) * (count - 1) / count


def draw_contents(field: Field, count: int, generator: torch.Generator) -> Tensor:
    """Draw values of each sample's points by their weights, (B, count, d); different points if there are enough."""
    weights = field.weights.cpu().float()
    again = int((weights > 0).sum(1).min()) < count
    chosen = torch.multinomial(weights, count, replacement=again, generator=generator)
    index = chosen.to(field.device).unsqueeze(-1).expand(-1, -1, field.dim)
    return field.values.gather(1, index)


def crossed(kernel: Kernel, query: Tensor, key: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:
    """Compute k of all contents (I, d) and (J, d) at each pair of positions, (P, heads, I, J)."""
    x, y = (
        Field(values.expand(len(places), -1, -1), places.unsqueeze(1).expand(-1, len(values), -1))
        for values, places in zip((query, key), positions, strict=True)
    )
    return kernel_values(kernel, x, y)


def kernel_values(kernel: Kernel, query: Field, key: Field) -> Tensor:
    """Compute k of all pairs of points, in the support or not, (B, heads, N, M)."""
    return weigh_edge(kernel, kernel(*kernel.project(query, key)), query.positions, key.positions)
