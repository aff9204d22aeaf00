"""The part of each point among those of its shape's category."""

from __future__ import annotations

import torch
from torch import Tensor

from itnet_pointcloud.data.shapenet import PARTS

PADDING = -1
"""Part number of padding points."""

OF_CATEGORY = torch.tensor([[part in parts for part in range(50)] for parts in PARTS])
"""Mask of the parts of each category, shape (16, 50)."""


def chosen_parts(prediction: Tensor, categories: Tensor) -> Tensor:
    """Return each point's likeliest part among those of its category, as the benchmark does.

    Args:
        prediction: logits, shape (B, N, 50).
        categories: of the shapes, shape (B,).

    Returns:
        Parts, shape (B, N).
    """
    possible = OF_CATEGORY.to(prediction.device)[categories].unsqueeze(1)
    return prediction.masked_fill(~possible, -torch.inf).argmax(-1)
