"""Mean loss over samples."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class MeanLoss(Metric):
    """Mean loss over samples, from the mean losses of batches of different sizes; saved with the training state.

    The result is NaN if one of the losses is. torchmetrics' own `MeanMetric` drops NaNs or, with
    `nan_strategy="disable"`, ignores the weights.

    Example:
        >>> metric = MeanLoss()
        >>> metric.update(torch.tensor(1.0), samples=3)
        >>> metric.update(torch.tensor(5.0), samples=1)
        >>> metric.compute()
        tensor(2.)
    """

    full_state_update = False
    total: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum", persistent=True)
        self.add_state("samples", torch.tensor(0), dist_reduce_fx="sum", persistent=True)

    def update(self, loss: Tensor, samples: int) -> None:
        """Add the mean loss of a batch of `samples` samples."""
        self.total += loss.detach().to(self.total.dtype) * samples
        self.samples += samples

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.samples
