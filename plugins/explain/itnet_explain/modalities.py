"""Shares and weights by pair of modalities, for models over unions of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from itnet_explain.recording import Call
from itnet_explain.structure import WeightMatrix
from itnet_explain.variance import Shares, shares


@dataclass(frozen=True)
class Between:
    """What a head is due to where x lies in one part of a union and y in another.

    Example:
        >>> Between(weight=0.2, shares={"position": 0.9}).weight
        0.2

    Attributes:
        weight: the part of the size of the head's weights that falls on these pairs.
        shares: the share of each part in E[k²] over these pairs; empty if the kernel cannot be taken apart.
        intervals: their intervals of 95%.
    """

    weight: float
    shares: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def pair_name(names: Sequence[str], query: int, key: int) -> str:
    """Return the name of a pair of parts, such as "image reads text".

    Example:
        >>> pair_name(("image", "text"), 0, 1), pair_name((), 0, 1)
        ('image reads text', 'part 0 reads part 1')
    """
    query_name, key_name = (names[n] if n < len(names) else f"part {n}" for n in (query, key))
    return f"{query_name} reads {key_name}"


def shares_between(call: Call, *, pairs: int, contents: int, seed: int) -> dict[tuple[int, int], Shares | None]:
    """Return the shares of each pair of parts of the call's unions; `None` if the kernel cannot be taken apart."""
    apart = call.kernel.pointwise_terms
    return {
        (query, key): shares(part, pairs=pairs, contents=contents, seed=seed) if apart else None
        for query, key, part in call.between_parts()
    }


def weight_between(call: Call, matrices: Sequence[WeightMatrix], query: int, key: int) -> Tensor:
    """Return the part of the size of the weights that falls on the pairs of two parts, (heads,)."""
    found = []
    for matrix in matrices:
        rows = _number(call.query.points.parts, matrix.queries) == query
        columns = _number(call.key.points.parts, torch.arange(matrix.weights.shape[2])) == key
        size = matrix.weights.abs()
        part, whole = (size * (rows[:, None] & columns)).sum((1, 2)), size.sum((1, 2))
        found.append(part / whole.clamp(min=torch.finfo(whole.dtype).tiny))
    return torch.stack(found).mean(0)


def _number(parts: tuple[int, ...], points: Tensor) -> Tensor:
    """Return the number of the part of each point; 0 without a union."""
    ends = torch.tensor(parts).cumsum(0) if parts else torch.tensor([torch.iinfo(torch.int64).max])
    return torch.searchsorted(ends, points, right=True)
