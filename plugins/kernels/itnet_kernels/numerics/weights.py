"""Weights of points in sums that fast paths compute."""

from __future__ import annotations

import torch
from torch import Tensor

from itnet_core import Points, differentiated, distinct


def apply_weights(values: Tensor, points: Points) -> Tensor:
    """Multiply values (B, M, ...) by the weights of their points; without a copy where every weight is 1."""
    weights = points.weights
    if not torch.compiler.is_compiling() and not differentiated(weights) and points.cached(_are_one):
        return values
    return (values * weights.view(*weights.shape, *[1] * (values.ndim - 2))).to(values.dtype)


def normalize_weights(points: Points) -> Points:
    """Return points with weights w / Σ w for a normalised sum, within the range of half precision.

    Weights that are all 1 stay. A weight of 0 gets no gradient, as under softmax, where log w is added.
    """
    weights = points.weights
    if differentiated(weights):
        return Points(points.positions, weights.relu() / _total(weights.detach()), points.grid, points.lattice)
    return points.cached(_normalized)


def _normalized(points: Points) -> Points:
    weights = distinct(points.weights)
    weights = torch.where((weights == 1).all(), weights, weights / _total(weights))
    return Points(points.positions, weights.expand_as(points.weights), points.grid, points.lattice)


def _total(weights: Tensor) -> Tensor:
    total = weights.sum(-1, keepdim=True)
    return torch.where(total > 0, total, 1.0)


def _are_one(points: Points) -> bool:
    return bool((distinct(points.weights) == 1).all())
