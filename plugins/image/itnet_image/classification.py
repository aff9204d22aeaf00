"""What all tasks of classification share, whatever the modality."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import default_collate
from torchmetrics.classification import MulticlassAccuracy

from itnet_core import Batch, ComponentConfig, DataError, Task
from itnet_core.task import Metric, Split
from itnet_image.dataset import Labelled, LabelledDataset, OnBadSample, Sample
from itnet_image.splits import stratified

Share = Annotated[float, ConfigField(gt=0, lt=1)]
Smoothing = Annotated[float, ConfigField(ge=0, lt=1)]


class Classification(Task):
    """Base of tasks with one label a sample: a data set says what its classes and samples are, and how to load one.

    The validation split is a stratified, seeded part of the training samples, unless the data set has one of its own.
    The test split never depends on the configuration of that choice.
    """

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            validation: share of the training samples that are held out to choose the best checkpoint, where the data
                set has no validation split of its own.
            seed: of that choice.
            label_smoothing: of the cross entropy.
            on_bad_sample: `refuse` or `skip` samples that cannot be read; each is named.
        """

        validation: Share = 0.1
        seed: NonNegativeInt = 0
        label_smoothing: Smoothing = 0.0
        on_bad_sample: OnBadSample = "refuse"

    monitor = "accuracy"

    @property
    @abstractmethod
    def classes(self) -> Sequence[str]:
        """The classes' names, in the order of their numbers. Opens no data, as the model's head depends on it."""

    @abstractmethod
    def training(self) -> Labelled:
        """Return the training samples, those for validation among them."""

    @abstractmethod
    def test(self) -> Labelled:
        """Return the test samples."""

    def validation(self) -> Labelled | None:
        """Return the data set's own validation samples, if it has any."""
        return None

    @abstractmethod
    def loader(self, *, training: bool) -> Callable[[Any], Any]:
        """Return what makes of a sample's source what an encoder reads; with augmentation for training.

        It raises DataError for a source that is not sound, a path that the user gives among them.
        """

    @property
    def head(self) -> Mapping[str, Any]:
        """A classification head with the task's classes."""
        return {"name": "classify", "classes": len(self.classes)}

    def dataset(self, split: Split) -> LabelledDataset:
        """Return the samples of a split.

        Raises:
            DataError: the data set is not where the configuration says, or not in its published layout.
        """
        labelled = self.test() if split == "test" else self._training_parts[split]
        return LabelledDataset(labelled, self.loader(training=split == "train"), self.config.on_bad_sample)

    @cached_property
    def _training_parts(self) -> dict[Split, Labelled]:
        training, own = self.training(), self.validation()
        if own is not None:
            return {"train": training, "validation": own}
        rest, part = stratified(training.labels, self.config.validation, self.config.seed)
        return {"train": training.select(rest), "validation": training.select(part)}

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """Return inputs and classes (B,) in batches, without the samples that were skipped.

        Raises:
            DataError: no sample is left.
        """
        kept = [sample for sample in samples if sample is not None]
        if not kept:
            raise DataError(
                f"{type(self).__name__}.collate",
                found=f"a batch of {len(samples)} samples that cannot be read",
                expected="at least one that can",
                mend="The warnings name them; mend the data, or take larger batches.",
            )
        labels = [sample.label for sample in kept]
        targets = None if None in labels else torch.tensor(labels)
        return Batch(default_collate([sample.inputs for sample in kept]), targets)

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy of logits (B, classes)."""
        return F.cross_entropy(prediction, targets, label_smoothing=self.config.label_smoothing)

    def metrics(self) -> Mapping[str, Metric]:
        """Return the share of samples whose class has the largest logit."""
        return {"accuracy": MulticlassAccuracy(len(self.classes), average="micro")}

    def read(self, path: Path) -> Sample:
        """Return the sample of a user's file as evaluation sees the data set's.

        Raises:
            DataError: the file is missing, truncated, or of another format.
        """
        return Sample(self.loader(training=False)(Path(path)), None)

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Return for each sample its label, the label's probability, and up to five of the likeliest by label."""
        top = prediction.softmax(-1).topk(min(5, len(self.classes)))
        records = []
        for probabilities, indices in zip(top.values.tolist(), top.indices.tolist(), strict=True):
            likeliest = {self.classes[i]: p for i, p in zip(indices, probabilities, strict=True)}
            records.append({"label": self.classes[indices[0]], "probability": probabilities[0], "likeliest": likeliest})
        return records
