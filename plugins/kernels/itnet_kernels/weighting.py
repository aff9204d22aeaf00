"""Values times the weights of their points."""

from __future__ import annotations

import torch
from torch import Tensor

from itnet_core.operator.field import distinct
from itnet_core.operator.remembered import remembered
from itnet_core.operator.transforms import differentiated


def weighted(values: Tensor, weights: Tensor) -> Tensor:
    """Return values (B, M, ...) times weights (B, M): the values as they are where every point counts once."""
    if not torch.compiler.is_compiling() and not differentiated(weights) and _all_ones(weights):
        return values
    return (values * weights.view(*weights.shape, *[1] * (values.ndim - 2))).to(values.dtype)


def shares(weights: Tensor) -> Tensor:
    """Return weights of the same ratios for a normalised sum, near 1/N so that half precision holds them: w / Σ w.

    Where every point counts once they stay. No gradient goes to a weight of 0, as none goes to the log of one.
    """
    if differentiated(weights):
        return weights.relu() / _total(weights.detach())
    return _shares(weights)


@remembered
def _shares(weights: Tensor) -> Tensor:
    own = distinct(weights)
    return torch.where((own == 1).all(), own, own / _total(own)).expand_as(weights)


def _total(weights: Tensor) -> Tensor:
    total = weights.sum(-1, keepdim=True)
    return torch.where(total > 0, total, 1.0)


@remembered
def _all_ones(weights: Tensor) -> bool:
    return bool((distinct(weights) == 1).all())
