"""Errors of forecasts."""

from __future__ import annotations

import torch
from torch import Tensor


def forecast_errors(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the errors of predictions (B, horizon · c) where targets (B, horizon, c) are known, else 0; and the mask.

    Example:
        >>> forecast_errors(torch.tensor([[1.0, 2.0]]), torch.tensor([[[0.5], [torch.nan]]]))[0].flatten()
        tensor([0.5000, 0.0000])
    """
    known = ~target.isnan()
    return torch.where(known, prediction.view(target.shape) - target.nan_to_num(), 0.0), known
