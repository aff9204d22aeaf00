"""What all tasks of classification share, whatever the modality."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field as ConfigField
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from itnet_core import DataError, Metric
from itnet_tasks.labelled_task import LabelledTask

Smoothing = Annotated[float, ConfigField(ge=0, lt=1)]


class Classification(LabelledTask):
    """Base of tasks with one class a sample."""

    class Config(LabelledTask.Config):
        label_smoothing: Smoothing = 0.0
        """Of the cross entropy."""

    monitor = "accuracy"

    @property
    @abstractmethod
    def classes(self) -> Sequence[str]:
        """The classes' names, in the order of their numbers. Opens no data, as the model's head depends on it."""

    @property
    def head(self) -> Mapping[str, Any]:
        """A classification head with the task's classes.

        Raises:
            DataError: there is one class alone.
        """
        if len(self.classes) < 2:
            raise DataError(
                f"{type(self).__name__}.classes",
                found=f"{', '.join(map(repr, self.classes))} alone" if self.classes else "none",
                expected="at least two, to be told apart",
            )
        return {"name": "itnet-core/classify", "classes": len(self.classes)}

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy of logits (B, classes) against classes (B,)."""
        return F.cross_entropy(prediction, targets, label_smoothing=self.config.label_smoothing)

    def metrics(self) -> Mapping[str, Metric]:
        """Return the share of samples whose class has the largest logit."""
        return {"accuracy": MulticlassAccuracy(len(self.classes), average="micro")}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Return for each sample its label, the label's probability, and up to five of the likeliest by label."""
        top = prediction.softmax(-1).topk(min(5, len(self.classes)))
        records = []
        for probabilities, indices in zip(top.values.tolist(), top.indices.tolist(), strict=True):
            likeliest = {self.classes[i]: p for i, p in zip(indices, probabilities, strict=True)}
            records.append({"label": self.classes[indices[0]], "probability": probabilities[0], "likeliest": likeliest})
        return records
