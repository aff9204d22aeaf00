"""The mean loss over samples."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class MeanLoss(Metric):
    """The mean over samples, from the mean losses of batches of different sizes; kept in the training state.

    It is NaN if one of them is. torchmetrics' own `MeanMetric` leaves NaNs out, or, with `nan_strategy="disable"`, the
    weights.
    """

    full_state_update = False
    total: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum", persistent=True)
        self.add_state("samples", torch.tensor(0), dist_reduce_fx="sum", persistent=True)

    def update(self, loss: Tensor, samples: int) -> None:
        """Take in the mean loss of a batch."""
        self.total += loss.detach().to(self.total.dtype) * samples
        self.samples += samples

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.samples
