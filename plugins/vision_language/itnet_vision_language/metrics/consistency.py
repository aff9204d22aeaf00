"""NLVR2's official metrics: accuracy and consistency (Suhr et al., arXiv 1811.00491)."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric as TorchMetric
from torchmetrics.utilities import dim_zero_cat


class Accuracy(TorchMetric):
    """Share of the examples that are predicted correctly."""

    full_state_update = False
    right: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add logits (B, 2) and targets (B, 2)."""
        self.right += (prediction.argmax(-1) == target[:, 0]).sum()
        self.count += len(prediction)

    def compute(self) -> Tensor:
        """Return the share."""
        return self.right / self.count


class Consistency(TorchMetric):
    """Share of the sentences whose examples are all predicted correctly."""

    full_state_update = False
    right: list[Tensor]
    sentences: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", [], dist_reduce_fx="cat")
        self.add_state("sentences", [], dist_reduce_fx="cat")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add logits (B, 2) and targets (B, 2)."""
        self.right.append(prediction.argmax(-1) == target[:, 0])
        self.sentences.append(target[:, 1])

    def compute(self) -> Tensor:
        """Return the share."""
        sentences, inverse = torch.unique(dim_zero_cat(self.sentences), return_inverse=True)
        wrong = torch.zeros(len(sentences), device=inverse.device)
        return 1 - wrong.index_add(0, inverse, (~dim_zero_cat(self.right)).float()).clamp(max=1).mean()
