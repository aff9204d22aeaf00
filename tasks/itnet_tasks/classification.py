"""Base of classification tasks of any modality."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field as ConfigField
from torch import Tensor
from torch.nn import functional as F

from itnet_core import DataError, Metric
from itnet_tasks.labelled_task import LabelledTask

Smoothing = Annotated[float, ConfigField(ge=0, lt=1)]


class Classification(LabelledTask):
    """Base of tasks with one class per sample.

    A subclass sets `classes`, and implements `training`, `test` and `loader` of `LabelledTask`. The loss is cross
    entropy, the metric top-1 accuracy, and the head has one logit per class.

    Example:
        >>> from itnet_tasks import Labelled
        >>> class Reviews(Classification):
        ...     modality, classes = "text", ("negative", "positive")
        ...     def training(self):
        ...         return Labelled(["dull", "a fine film"] * 10, torch.tensor([0, 1] * 10))
        ...     def test(self):
        ...         return Labelled(["very dull"], torch.tensor([0]))
        ...     def loader(self, *, training):
        ...         return str
        >>> task = Reviews(validation=0.2)
        >>> len(task.dataset("train")), task.dataset("test")[0], task.head["classes"]
        (16, Sample(inputs='very dull', label=0), 2)
    """

    class Config(LabelledTask.Config):
        label_smoothing: Smoothing = 0.0
        """Label smoothing of the cross entropy."""

    monitor = "accuracy"
    accepts_probabilities = True
    mixes_sizes = True

    @property
    @abstractmethod
    def classes(self) -> Sequence[str]:
        """Class names in the order of the class numbers, available without the data."""

    @property
    def head(self) -> Mapping[str, Any]:
        """A classification head with one logit per class.

        Raises:
            DataError: there are fewer than two classes.
        """
        if len(self.classes) < 2:
            raise DataError(
                f"{type(self).__name__}.classes",
                found=f"only {', '.join(map(repr, self.classes))}" if self.classes else "none",
                expected="at least two",
            )
        return {"name": "itnet-core/classify", "classes": len(self.classes)}

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Compute the cross entropy of logits (B, classes) and class numbers (B,) or probabilities (B, classes)."""
        return F.cross_entropy(prediction, targets, label_smoothing=self.config.label_smoothing)

    def metrics(self) -> Mapping[str, Metric]:
        """Return top-1 accuracy."""
        from torchmetrics.classification import MulticlassAccuracy  # seconds of imports, which training alone needs

        return {"accuracy": MulticlassAccuracy(len(self.classes), average="micro")}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Describe each sample by its label, the label's probability, and the `top_k` likeliest labels."""
        top = prediction.softmax(-1).topk(min(self.top_k, len(self.classes)))
        records = []
        for probabilities, indices in zip(top.values.tolist(), top.indices.tolist(), strict=True):
            likeliest = {self.classes[i]: p for i, p in zip(indices, probabilities, strict=True)}
            records.append({"label": self.classes[indices[0]], "probability": probabilities[0], "likeliest": likeliest})
        return records
