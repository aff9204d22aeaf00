"""Correlations of the predictions of a head with one output."""

from __future__ import annotations

from torch import Tensor
from torchmetrics import PearsonCorrCoef, SpearmanCorrCoef


class Pearson(PearsonCorrCoef):
    """Pearson's correlation of predictions (B, 1) and targets (B,)."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch."""
        super().update(prediction.squeeze(-1), target)


class Spearman(SpearmanCorrCoef):
    """Spearman's correlation of predictions (B, 1) and targets (B,)."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch."""
        super().update(prediction.squeeze(-1), target)
