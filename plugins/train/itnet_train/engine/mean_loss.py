"""Mean loss over samples."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class MeanLoss(Metric):
    """Mean loss over samples, from the mean losses of batches of different sizes.

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
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("samples", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, loss: Tensor, samples: int) -> None:
        """Add the mean loss of a batch of `samples` samples."""
        self.total += loss.detach().to(self.total.dtype) * samples
        self.samples += samples

    def restore(self, total: Tensor, samples: Tensor) -> None:
        """Go on from the sums `total` and `samples` of a metric."""
        self.total, self.samples = total.to(self.total), samples.to(self.samples)

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.samples
