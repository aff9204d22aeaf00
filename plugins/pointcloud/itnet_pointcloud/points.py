"""Point clouds, single and in batches: check them, and place their points in space-time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_core import Field, ShapeError


class Cloud(NamedTuple):
    """One point cloud.

    Attributes:
        positions: x, y, z, shape (N, 3).
        features: further channels of each point, such as its normal or colour, shape (N, F); F may be 0.
    """

    positions: Tensor
    features: Tensor

    def select(self, points: Tensor) -> Cloud:
        """Return the points at some indices."""
        return Cloud(self.positions[points], self.features[points])


class PointClouds(NamedTuple):
    """A batch of point clouds of any sizes. Points of weight 0 are padding, and are ignored.

    Example:
        >>> from itnet_pointcloud.points import Cloud, PointClouds
        >>> clouds = [Cloud(torch.rand(n, 3), torch.zeros(n, 0)) for n in (100, 80)]
        >>> points = PointClouds.of(clouds)
        >>> points.positions.shape, points.mask.sum(1)
        (torch.Size([2, 100, 3]), tensor([100,  80]))

    Attributes:
        positions: x, y, z, shape (B, N, 3), in units in which a cloud fills about [−1, 1].
        features: shape (B, N, F); F may be 0.
        weights: shape (B, N), ≥ 0, some > 0 in every cloud: the share of the surface that a point represents.
    """

    positions: Tensor
    features: Tensor
    weights: Tensor

    @classmethod
    def of(cls, clouds: Sequence[Cloud]) -> PointClouds:
        """Collate clouds, padding the smaller ones; the points of a cloud have equal weights."""
        longest = max(len(cloud.positions) for cloud in clouds)
        weights = [cloud.positions.new_full((n,), 1 / max(1, n)) for cloud in clouds for n in [len(cloud.positions)]]
        positions, features = (torch.stack([_padded(t, longest) for t in part]) for part in zip(*clouds, strict=True))
        return cls(positions, features, torch.stack([_padded(row, longest) for row in weights]))

    @property
    def mask(self) -> Tensor:
        """Mask of the points that are not padding, bool, (B, N)."""
        return self.weights > 0


def _padded(tensor: Tensor, length: int) -> Tensor:
    """Pad the rows of a tensor with zeros, (N, …) to (length, …)."""
    return F.pad(tensor, (0, 0) * (tensor.ndim - 1) + (0, length - len(tensor)))


def check_points(inputs: PointClouds, features: int, place: str) -> PointClouds:
    """Return a batch with zeros for padding.

    Raises:
        ShapeError: the inputs are not `PointClouds`, a tensor has another shape or dtype, a weight is negative or not
            finite, a cloud has no point, or a number of a point is not finite.
    """
    expected = f"PointClouds(positions (B, N, 3), features (B, N, {features}), weights (B, N)), all floating"
    if not isinstance(inputs, tuple) or len(inputs) != 3 or not all(isinstance(part, Tensor) for part in inputs):
        hint = "PointClouds.of([Cloud(positions, features), ...]) collates clouds."
        raise ShapeError(place, found=type(inputs).__name__, expected=expected, hint=hint)
    positions, channels, weights = inputs
    shape = weights.shape
    fit = len(shape) == 2 and positions.shape == (*shape, 3) and channels.shape[:-1] == shape
    fit = fit and 0 not in shape and all(tensor.is_floating_point() for tensor in inputs)
    if not fit or channels.shape[-1] != features:
        found = ", ".join(f"{tensor.dtype} of shape {tuple(tensor.shape)}" for tensor in inputs)
        hint = f"Configure the encoder with features={channels.shape[-1]}, or give the points that many."
        raise ShapeError(place, found=found, expected=expected, hint=hint if fit else "")
    valid = (weights > 0).unsqueeze(-1)
    points = PointClouds(positions.masked_fill(~valid, 0.0), channels.masked_fill(~valid, 0.0), weights)
    if not torch.compiler.is_compiling():
        _check_numbers(points, place)
    return points


def _check_numbers(points: PointClouds, place: str) -> None:
    weights = points.weights
    if not (weights.isfinite() & (weights >= 0)).all():
        raise ShapeError(place, found="weights that are negative or not finite", expected="weights >= 0")
    if not points.mask.any(-1).all():
        raise ShapeError(
            place,
            found=f"no point in cloud {int((~points.mask.any(-1)).nonzero()[0])}",
            expected="at least one point of weight > 0 in every cloud",
        )
    if not points.positions.isfinite().all() or not points.features.isfinite().all():
        raise ShapeError(place, found="points that are NaN or infinite", expected="finite numbers")


def cloud_field(values: Tensor, positions: Tensor, weights: Tensor) -> Field:
    """Return the field of values (B, N, d) at positions (B, N, 3), on the axes x, y and z of space-time.

    Weights of shape (B, N) are scaled to sum to 1.
    """
    return Field(values, F.pad(positions, (1, 0)), weights / weights.sum(-1, keepdim=True))


def example(features: int) -> PointClouds:
    """Return two clouds of random points, one of 40 and one of 30."""
    return PointClouds.of([Cloud(2 * torch.rand(count, 3) - 1, torch.randn(count, features)) for count in (40, 30)])
