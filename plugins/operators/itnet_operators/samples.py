"""Samples of operator learning: a field, and a target at the same points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from itnet_core import AXES, Field


class FieldSample(NamedTuple):
    """A field known at N points, and what to predict at them.

    Example:
        >>> sample = FieldSample(torch.rand(5, 1), torch.rand(5, 4), torch.full((5,), 0.2), targets=None)
        >>> collate_fields([sample, sample])
        Field(B=2, N=5, d=1, p=4)

    Attributes:
        values: inputs at the points, shape (N, c).
        positions: in space-time, shape (N, 4).
        weights: quadrature weights, shape (N,), ≥ 0, with the sum 1.
        targets: outputs at the points, shape (N, o); NaN where there is no target. `None` if unknown.
        grid: sizes of the row-major grid that the points form, if any.
    """

    values: Tensor
    positions: Tensor
    weights: Tensor
    targets: Tensor | None
    grid: tuple[int, ...] | None = None


class Targets(NamedTuple):
    """Targets of a batch, with the weights of the norm that errors are measured in.

    Attributes:
        values: shape (B, N, o), in units of the task's `scale`; 0 where there is no target.
        weights: quadrature weights, shape (B, N, o); 0 where there is no target, and for padding.
    """

    values: Tensor
    weights: Tensor


def grid_points(sizes: Sequence[int], axes: str, bounds: Sequence[tuple[float, float]] | None = None) -> Field:
    """Return the cell centres of a grid as a field of one sample without channels; arguments as for `Field.on_grid`.

    Example:
        >>> grid_points((2, 3), "yx").positions.shape
        torch.Size([1, 6, 4])
    """
    return Field.on_grid(torch.zeros(1, *sizes, 0), axes=axes, bounds=bounds)


def samples_on(points: Field, values: Tensor, targets: Tensor) -> list[FieldSample]:
    """Return samples that share their points.

    Example:
        >>> samples = samples_on(grid_points((8,), "x"), torch.rand(3, 8, 2), torch.rand(3, 8, 1))
        >>> len(samples), samples[0].grid
        (3, (8,))

    Args:
        points: a field of one sample, whose values are not read.
        values: inputs, shape (S, N, c).
        targets: outputs, shape (S, N, o).
    """
    positions, weights = points.positions[0], points.weights[0]
    return [FieldSample(u, positions, weights, v, points.grid) for u, v in zip(values, targets, strict=True)]


def with_coordinates(sample: FieldSample, axes: str) -> FieldSample:
    """Append the coordinates along some axes to the inputs, (N, c) to (N, c + len(axes)).

    Example:
        >>> [sample] = samples_on(grid_points((2,), "x"), torch.ones(1, 2, 1), torch.zeros(1, 2, 1))
        >>> with_coordinates(sample, "x").values
        tensor([[ 1.0000, -0.5000],
                [ 1.0000,  0.5000]])
    """
    columns = [AXES.index(axis) for axis in axes]
    return sample._replace(values=torch.cat([sample.values, sample.positions[:, columns]], dim=-1))


def collate_fields(samples: Sequence[FieldSample]) -> Field:
    """Return samples as a field (B, N, c). Samples of fewer points are padded with points of weight 0.

    Samples on one grid keep it, so that fast algorithms for grids apply. Samples that share the tensor of their
    positions share it in the batch too.
    """
    first, grids = samples[0], {sample.grid for sample in samples}
    grid = first.grid if len(grids) == 1 else None
    values = pad_sequence([sample.values for sample in samples], batch_first=True)
    if all(sample.positions is first.positions and sample.weights is first.weights for sample in samples):
        count = len(samples)
        return Field(values, first.positions.expand(count, -1, -1), first.weights.expand(count, -1), grid)
    positions = pad_sequence([sample.positions for sample in samples], batch_first=True)
    return Field(values, positions, pad_sequence([sample.weights for sample in samples], batch_first=True), grid)


def collate_targets(samples: Sequence[FieldSample], scale: Sequence[float]) -> Targets:
    """Return the targets of samples, divided by the scale of each output.

    Example:
        >>> [sample] = samples_on(grid_points((2,), "x"), torch.zeros(1, 2, 1), torch.tensor([[[6.0], [torch.nan]]]))
        >>> collate_targets([sample], scale=[3.0])
        Targets(values=tensor([[[2.],
                 [0.]]]), weights=tensor([[[0.5000],
                 [0.0000]]]))
    """
    values, weights = [], []
    for sample in samples:
        assert sample.targets is not None
        known = sample.targets.isfinite()
        values.append(torch.where(known, sample.targets, 0.0))
        weights.append(sample.weights.unsqueeze(-1) * known)
    padded = pad_sequence(values, batch_first=True)
    return Targets(padded / padded.new_tensor(scale), pad_sequence(weights, batch_first=True))


def place_positions(positions: Tensor, axes: str) -> Tensor:
    """Place coordinates along some axes of space-time, (N, p) to (N, 4); the others are 0.

    Example:
        >>> place_positions(torch.tensor([[1.0, 2.0]]), "yx")
        tensor([[0., 2., 1., 0.]])
    """
    one_hot = F.one_hot(torch.tensor([AXES.index(axis) for axis in axes]), len(AXES))
    return positions @ one_hot.to(positions.dtype)


def relative_errors(prediction: Tensor, targets: Targets) -> Tensor:
    """Return ‖prediction − target‖ / ‖target‖ of each sample, shape (B,), in the norm of L2(μ).

    ‖v‖² = Σ_i w_i |v_i|², with the quadrature weights w of the sample's field. So the error is that of functions, and
    does not depend on how densely they are sampled. Points without a target, and padding, do not count.

    Example:
        >>> targets = Targets(torch.tensor([[[3.0], [4.0]]]), torch.full((1, 2, 1), 0.5))
        >>> relative_errors(torch.tensor([[[3.0], [3.0]]]), targets)
        tensor([0.2000])

    Args:
        prediction: shape (B, N, o).
        targets: of the same shape, with at least one target other than 0 in each sample.
    """
    roots = targets.weights.sqrt()
    difference = torch.where(targets.weights > 0, prediction.to(targets.values.dtype) - targets.values, 0.0)
    norm = torch.linalg.vector_norm(roots * targets.values, dim=(1, 2))
    return torch.linalg.vector_norm(roots * difference, dim=(1, 2)) / norm
