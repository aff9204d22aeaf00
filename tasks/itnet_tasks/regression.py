"""What all tasks of regression share, whatever the modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import PearsonCorrCoef, SpearmanCorrCoef

from itnet_core import Metric
from itnet_tasks.labelled_task import LabelledTask


class Regression(LabelledTask):
    """Base of tasks with one number a sample.

    The head predicts the standardised number: loss and metrics compare with (number − centre) / scale, so that the head
    starts near the mean whatever the unit; `describe` gives numbers in the data's own unit.

    Attributes:
        centre, scale: a typical number, and how far numbers lie from it, in the data's unit. They are known of the data
            set (a score from 0 to 5: 2.5 and 1.5), not computed, so that a checkpoint needs no data to predict.
    """

    monitor = "pearson"
    centre: float = 0.0
    scale: float = 1.0

    @property
    def head(self) -> Mapping[str, Any]:
        """A regression head with one output."""
        return {"name": "itnet-core/regress", "outputs": 1}

    def collate_targets(self, labels: Sequence[float]) -> Tensor:
        """Return standardised numbers, shape (B,)."""
        return (torch.tensor(labels, dtype=torch.float32) - self.centre) / self.scale

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error of numbers (B, 1) against numbers (B,)."""
        return F.mse_loss(prediction.squeeze(-1), targets)

    def metrics(self) -> Mapping[str, Metric]:
        """Return the correlations, Pearson's and Spearman's, which do not depend on the unit."""
        return {"pearson": Pearson(), "spearman": Spearman()}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Return each sample's number, in the data's unit."""
        return [{"value": value} for value in (prediction.squeeze(-1) * self.scale + self.centre).tolist()]


class Pearson(PearsonCorrCoef):
    """Pearson's correlation of predictions (B, 1) with targets (B,)."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in a batch."""
        super().update(prediction.squeeze(-1), target)


class Spearman(SpearmanCorrCoef):
    """Spearman's correlation of predictions (B, 1) with targets (B,)."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in a batch."""
        super().update(prediction.squeeze(-1), target)
