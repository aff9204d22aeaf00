"""Metrics of forecasts."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from itnet_series.tasks.horizon import forecast_errors


class ForecastMetric(Metric):
    """Mean absolute or squared error of all steps and channels that are not missing.

    Args:
        power: 1 for absolute errors, 2 for squared ones.
        factors: one for the errors of each channel.
    """

    total: Tensor
    count: Tensor

    def __init__(self, power: int, factors: tuple[float, ...]) -> None:
        super().__init__()
        self.power, self.factors = power, factors
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch of predictions (B, horizon · c) and targets (B, horizon, c)."""
        errors, known = forecast_errors(prediction, target)
        errors = (errors * errors.new_tensor(self.factors)).abs() ** self.power
        self.total += errors.double().sum()
        self.count += known.sum()

    def compute(self) -> Tensor:
        """Return the mean."""
        return (self.total / self.count).float()
