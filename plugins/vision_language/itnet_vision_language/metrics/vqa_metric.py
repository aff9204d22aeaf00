"""VQA's official accuracy as a metric."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric as TorchMetric

from itnet_vision_language.metrics.vqa_accuracy import VQATargets, accuracy


class VQAAccuracy(TorchMetric):
    """Mean official accuracy of the answers with the largest logits."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: VQATargets) -> None:
        """Add a batch."""
        for index, answers in zip(prediction.argmax(-1).tolist(), target.human_answers, strict=True):
            self.total += accuracy(self.vocabulary[index], answers)
        self.count += len(prediction)

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.count
