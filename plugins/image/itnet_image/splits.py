"""How a data set is split."""

from __future__ import annotations

import torch
from torch import Tensor


def stratified(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices of the rest, and of a seeded part with `share` of every class, both sorted.

    A class of two or more has at least one sample in each; that of a class of one stays in the rest.

    Args:
        labels: the samples' classes, shape (N,).
        share: between 0 and 1.
        seed: of the choice; the same labels and seed give the same part.
    """
    random = torch.Generator().manual_seed(seed)
    part = torch.zeros(len(labels), dtype=torch.bool)
    for label in sorted(set(labels.tolist())):
        members = (labels == label).nonzero().squeeze(1)
        members = members[torch.randperm(len(members), generator=random)]
        part[members[: min(len(members) - 1, max(1, round(share * len(members))))]] = True
    return (~part).nonzero().squeeze(1), part.nonzero().squeeze(1)
