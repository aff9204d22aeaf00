"""Accuracy over points, such as tokens or nodes. It imports torchmetrics, so the package does not import it."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy


class AccuracyOverPoints(MulticlassAccuracy):
    """Share of the points with a target whose class is predicted correctly.

    Example:
        >>> import torch
        >>> accuracy = AccuracyOverPoints(2, ignore_index=-1)
        >>> accuracy.update(torch.tensor([[[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]]]), torch.tensor([[0, 0, -1]]))
        >>> accuracy.compute()
        tensor(0.5000)

    Args:
        classes: number of classes.
        ignore_index: target of the points that do not count, such as padding.
    """

    def __init__(self, classes: int, ignore_index: int) -> None:
        super().__init__(classes, average="micro", ignore_index=ignore_index)

    def update(self, prediction: Tensor, target: Tensor, *_: Any) -> None:
        """Add logits (B, N, classes) and targets (B, N)."""
        super().update(prediction.flatten(0, 1), target.flatten())
