"""Head of contrastive embeddings."""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Field, Head, mean

COLDEST = 0.01
"""Lowest temperature, as in CLIP: a lower one makes training unstable."""


class ContrastiveHead(Head):
    """A linear map of the field's mean, normalised to a sphere of radius 1/√τ with a learned temperature τ.

    So the inner product of two embeddings is their cosine / τ, the logit of CLIP's contrastive loss (Radford et al.,
    arXiv 2103.00020), and the loss depends only on the embeddings.

    Example:
        >>> head = ContrastiveHead(64, outputs=16)
        >>> head(Field(torch.randn(2, 10, 64), torch.randn(2, 10, 4))).shape
        torch.Size([2, 16])
    """

    class Config(ComponentConfig):
        outputs: PositiveInt = 256
        """Channels of an embedding."""

        temperature: PositiveFloat = 0.07
        """Initial temperature τ."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(dim, self.config.outputs, bias=False)
        self.log_temperature = nn.Parameter(torch.tensor([math.log(self.config.temperature)]))

    def forward(self, field: Field) -> Tensor:
        """Compute embeddings of shape (B, outputs) and norm 1/√τ."""
        radius = (-self.log_temperature.clamp(min=math.log(COLDEST)) / 2).exp()
        return F.normalize(self.linear(mean(field)), dim=-1) * radius
