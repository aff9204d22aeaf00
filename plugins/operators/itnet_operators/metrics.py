"""Metrics of predicted fields."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from itnet_operators.samples import Targets, relative_errors


class RelativeL2(Metric):
    """Mean over samples of the relative L2 error.

    Example:
        >>> metric = RelativeL2()
        >>> metric.update(torch.zeros(2, 3, 1), Targets(torch.ones(2, 3, 1), torch.ones(2, 3, 1)))
        >>> metric.compute()
        tensor(1., dtype=torch.float64)
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Targets) -> None:
        """Add a batch."""
        self.total += relative_errors(prediction, target).sum()
        self.count += len(prediction)

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.count
