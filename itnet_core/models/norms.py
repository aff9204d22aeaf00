"""Norms, activations and stochastic depth of blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from itnet_core.operator.field import Field
from itnet_core.operator.field_checks import readable
from itnet_core.operator.messages import add
from itnet_core.operator.precision import precise

Norm = Literal["layer", "batch", "rms", "none"]
BlockActivation = Literal["gelu", "relu", "silu"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over all points of a batch that are not padding.

    Example:
        >>> BatchNorm(3)(torch.randn(2, 5, 3)).shape
        torch.Size([2, 5, 3])
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, values: Tensor, mask: Tensor | None = None, group: Any = None) -> Tensor:
        """Return the normalised values; padding affects neither the other values nor the running statistics.

        Args:
            values: shape (B, N, d).
            mask: the points that are not padding, (B, N); all by default.
            group: processes that share the points, with a mask: statistics are those of all points.
        """
        if mask is None or not self.training:
            return super().forward(values.flatten(0, 1)).view_as(values)
        present, points = mask.unsqueeze(-1), precise(values)
        count = _total(mask.sum(), group)
        mean = _total(points.masked_fill(~present, 0.0).sum((0, 1)), group) / count
        centred = (points - mean).masked_fill(~present, 0.0)
        variance = _total(centred.square().sum((0, 1)), group) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum or 0.1)
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum or 0.1)
        return (centred * (variance + self.eps).rsqrt() * self.weight + self.bias).to(values.dtype)


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "layer": nn.LayerNorm,
    "batch": BatchNorm,
    "rms": nn.RMSNorm,
    "none": lambda _: nn.Identity(),
}


def normalized(norm: nn.Module, field: Field) -> Field:
    """Apply a norm of `NORMS` to a field's values."""
    shards = field.points.shards
    if isinstance(norm, BatchNorm) and (shards is not None or not readable() or field.points.has_padding):
        return field.with_values(norm(field.values, field.mask, shards and shards.group))
    return field.map(norm)


def _total(tensor: Tensor, group: Any) -> Tensor:
    return tensor if group is None else add(tensor, group)


class StochasticDepth(nn.Module):
    """Drop a residual branch for some samples of a batch in training (Huang et al., arXiv 1603.09382).

    Args:
        probability: of dropping a sample's branch; the others are scaled by 1 / (1 − probability).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, values: Tensor) -> Tensor:
        """Return the branch's values, (B, N, d), or 0 for dropped samples."""
        if not self.training or self.probability == 0:
            return values
        kept = torch.rand(values.shape[0], 1, 1, device=values.device) >= self.probability
        return values * (kept / (1 - self.probability)).to(values.dtype)
