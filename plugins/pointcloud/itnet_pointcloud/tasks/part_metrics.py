"""Metrics of part segmentation: intersection over union, as ShapeNet's benchmark defines it, and accuracy."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from itnet_pointcloud.data.shapenet import PARTS
from itnet_pointcloud.tasks.chosen_parts import OF_CATEGORY, PADDING, chosen_parts


def categories_of(parts: Tensor) -> Tensor:
    """Return the categories of shapes from their points' parts, (B, N) to (B,)."""
    return OF_CATEGORY.to(parts.device)[:, parts.amax(1)].int().argmax(0)


def intersection_over_union(chosen: Tensor, parts: Tensor, categories: Tensor) -> Tensor:
    """Return each shape's mean over the parts of its category, (B,); a part absent from both counts as 1."""
    of_part = torch.arange(50, device=parts.device)
    predicted, true = (part.unsqueeze(-1) == of_part for part in (chosen.masked_fill(parts == PADDING, -1), parts))
    both, either = (predicted & true).sum(1), (predicted | true).sum(1)
    ratio = torch.where(either > 0, both / either.clamp(min=1), 1.0)
    possible = OF_CATEGORY.to(parts.device)[categories]
    return (ratio * possible).sum(-1) / possible.sum(-1)


class PartMetric(Metric):
    """Base of metrics that average over shapes or points, by category."""

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(len(PARTS), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(len(PARTS), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add logits (B, N, 50) and parts (B, N)."""
        categories = categories_of(target)
        chosen = chosen_parts(prediction, categories)
        values, counts = self.measure(chosen, target, categories)
        self.total.index_add_(0, categories, values.to(self.total.dtype))
        self.count.index_add_(0, categories, counts.to(self.count.dtype))

    def measure(self, chosen: Tensor, parts: Tensor, categories: Tensor) -> tuple[Tensor, Tensor]:
        """Return each shape's sum and count, (B,) each: by default its intersection over union, and 1."""
        ratio = intersection_over_union(chosen, parts, categories)
        return ratio, torch.ones_like(ratio)

    def compute(self) -> Tensor:
        """Return the mean over all shapes or points."""
        return self.total.sum() / self.count.sum()


class InstanceIoU(PartMetric):
    """Mean intersection over union of the shapes."""


class ClassIoU(PartMetric):
    """Mean over the categories of the mean intersection over union of their shapes; absent categories are left out."""

    def compute(self) -> Tensor:
        """Return the mean of the categories' means."""
        present = self.count > 0
        return (self.total[present] / self.count[present]).mean()


class PointAccuracy(PartMetric):
    """Share of the points whose part is predicted correctly."""

    def measure(self, chosen: Tensor, parts: Tensor, categories: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numbers of each shape's correct points and of all its points, (B,) each."""
        valid = parts != PADDING
        return ((chosen == parts) & valid).sum(1), valid.sum(1)
