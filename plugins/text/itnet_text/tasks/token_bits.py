"""Bits per token."""

from __future__ import annotations

from math import log
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torchmetrics.aggregation import MeanMetric


class TokenBits(MeanMetric):
    """Mean −log2 of the probability that is predicted for the token."""

    def __init__(self) -> None:
        super().__init__(nan_strategy="disable")

    def update(self, prediction: Tensor, target: Tensor, *_: Any) -> None:
        """Add logits (B, N, vocabulary) and targets (B, N)."""
        nats = F.cross_entropy(prediction.flatten(0, 1).float(), target.flatten())
        super().update(nats / log(2), target.numel())
