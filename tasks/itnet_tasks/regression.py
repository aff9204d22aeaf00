"""Base of regression tasks of any modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_core import Metric
from itnet_tasks.labelled_task import LabelledTask


class Regression(LabelledTask):
    """Base of tasks with one number per sample.

    The head predicts the standardised number: loss and metrics compare with (number − centre) / scale, so that training
    starts near the mean whatever the unit. `describe` returns numbers in the data's unit.

    Example:
        >>> from itnet_tasks import Labelled
        >>> class Stars(Regression):
        ...     modality, centre, scale = "text", 3.0, 2.0
        ...     def training(self):
        ...         return Labelled(["dull", "a fine film"] * 10, torch.tensor([1.0, 5.0] * 10))
        ...     def test(self):
        ...         return Labelled(["very dull"], torch.tensor([1.0]))
        ...     def loader(self, *, training):
        ...         return str
        >>> Stars().describe(torch.tensor([[0.5]]))
        [{'value': 4.0}]

    Attributes:
        centre: a typical number, in the data's unit: 2.5 for scores from 0 to 5. It is declared and not computed, so
            that a checkpoint predicts without the data.
        scale: the typical distance of numbers from the centre.
    """

    monitor = "pearson"
    mixes_sizes = True
    centre: float = 0.0
    scale: float = 1.0

    @property
    def head(self) -> Mapping[str, Any]:
        """A regression head with one output."""
        return {"name": "itnet-core/regress", "outputs": 1}

    def collate_targets(self, labels: Sequence[float]) -> Tensor:
        """Standardise numbers; shape (B,)."""
        return (torch.tensor(labels, dtype=torch.float32) - self.centre) / self.scale

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean squared error of predictions (B, 1) and standardised numbers (B,)."""
        return F.mse_loss(prediction.squeeze(-1), targets)

    def metrics(self) -> Mapping[str, Metric]:
        """Return Pearson's and Spearman's correlations, which do not depend on the unit."""
        from itnet_tasks.correlations import Pearson, Spearman  # seconds of imports, which training alone needs

        return {"pearson": Pearson(), "spearman": Spearman()}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Describe each sample by its number, in the data's unit."""
        return [{"value": value} for value in (prediction.squeeze(-1) * self.scale + self.centre).tolist()]
