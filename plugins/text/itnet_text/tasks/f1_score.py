"""F1 of two classes. It imports torchmetrics, so the tasks import it for training alone."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.classification import BinaryF1Score


class F1(BinaryF1Score):
    """F1 of the second of two classes, from logits (B, 2)."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch."""
        super().update(prediction.argmax(-1), target)
