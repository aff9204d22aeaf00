"""Values times the weights of their points."""

from __future__ import annotations

from torch import Tensor

from itnet_core.field import distinct
from itnet_core.remembered import remembered


def weighted(values: Tensor, weights: Tensor) -> Tensor:
    """Return values (B, M, ...) times weights (B, M): the values as they are where every point counts once."""
    if not weights.requires_grad and _all_ones(weights):
        return values
    return values * weights.view(*weights.shape, *[1] * (values.ndim - 2)).to(values.dtype)


@remembered
def _all_ones(weights: Tensor) -> bool:
    return bool((distinct(weights) == 1).all())
