"""Accuracy over tokens."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy


class TokenAccuracy(MulticlassAccuracy):
    """Share of the tokens with a target whose class is predicted correctly.

    Args:
        classes: number of classes.
        ignore_index: target of the tokens that do not count.
    """

    def __init__(self, classes: int, ignore_index: int) -> None:
        super().__init__(classes, average="micro", ignore_index=ignore_index)

    def update(self, prediction: Tensor, target: Tensor, *_: Any) -> None:
        """Add logits (B, N, classes) and targets (B, N)."""
        super().update(prediction.flatten(0, 1), target.flatten())
