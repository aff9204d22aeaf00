"""Tasks with one fault each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchmetrics.classification import MulticlassAccuracy

from itnet_core import Batch, DataError, Field, Metric, Split, Task
from itnet_testing.fields import scattered


class Sum(Task):
    """Whether the first value of a field is positive: right, but for what the classes below change."""

    modality = "field"
    monitor = "accuracy"

    @property
    def head(self) -> Mapping[str, Any]:
        return {"name": "itnet-core/classify", "classes": 2}

    def dataset(self, split: Split) -> Dataset[Any]:
        return [(scattered(1, dim=3, seed=seed), seed % 2) for seed in range(6)]  # type: ignore[return-value]

    def collate(self, samples: Sequence[Any]) -> Batch:
        return Batch([field for field, _ in samples], torch.tensor([label for _, label in samples]))

    def loss(self, prediction: Tensor, targets: Any) -> Tensor:
        return torch.nn.functional.cross_entropy(prediction, targets)

    def metrics(self) -> Mapping[str, Metric]:
        return {"accuracy": MulticlassAccuracy(2, average="micro")}

    def read(self, source: Any) -> Any:
        if not isinstance(source, Path | Field):
            raise DataError("input", found=type(source).__name__, expected="a file or a field")
        return scattered(1, dim=3), 0

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        return [{"label": int(row.argmax())} for row in prediction]


class Head(Sum):
    @property
    def head(self) -> Mapping[str, Any]:
        return {"name": "itnet-core/no-such-head"}


class SplitReproducibility(Sum):
    def dataset(self, split: Split) -> Dataset[Any]:
        return [(scattered(1), label) for label in torch.randint(2, (6,)).tolist()]  # type: ignore[return-value]


class LossGradient(Sum):
    def loss(self, prediction: Tensor, targets: Any) -> Tensor:
        return super().loss(prediction, targets) * float("nan")


class Sticky(MulticlassAccuracy):
    def reset(self) -> None:
        """Forget nothing."""


class MetricReset(Sum):
    def metrics(self) -> Mapping[str, Metric]:
        return {"accuracy": Sticky(2, average="micro")}


class DescriptionJson(Sum):
    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        return [{"label": row.argmax()} for row in prediction]


class UserFile(Sum):
    def read(self, source: Any) -> Any:
        return "no sample"


class UserValues(Sum):
    def read(self, source: Any) -> Any:
        return scattered(1, dim=3), 0


class StringsOpenNoFile(Sum):
    def read(self, source: Any) -> Any:
        return Path(source).read_text() if isinstance(source, str) else super().read(source)


class BatchedPrediction(Sum):
    def collate(self, samples: Sequence[Any]) -> Batch:
        values = torch.cat([field.values for field, _ in samples]) + len(samples)
        return Batch(Field(values, torch.zeros(*values.shape[:2], 4)), None)

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        return [{"logits": row.tolist()} for row in prediction]
