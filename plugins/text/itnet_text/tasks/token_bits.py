"""Bits per token."""

from __future__ import annotations

from math import log
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric


class TokenBits(Metric):
    """Mean −log2 of the probabilities that are predicted for the tokens; NaN if one of them is."""

    full_state_update = False
    total: Tensor
    tokens: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("tokens", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, *_: Any) -> None:
        """Add logits (B, N, vocabulary) and targets (B, N)."""
        nats = F.cross_entropy(prediction.flatten(0, 1).float(), target.flatten(), reduction="sum")
        self.total += nats / log(2)
        self.tokens += target.numel()

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.tokens
