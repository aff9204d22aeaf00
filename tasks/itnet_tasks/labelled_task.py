"""What all tasks on labelled samples share, whatever the modality and the label."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeInt
from torch.utils.data import default_collate

from itnet_core import Batch, ComponentConfig, DataError, Split, Task
from itnet_tasks.dataset import Labelled, LabelledDataset, OnBadSample, Sample
from itnet_tasks.splits import Share, split


class LabelledTask(Task):
    """Base of tasks with one label a sample: a data set says what its samples are, and how to load one.

    The validation split is a seeded part of the training samples, stratified by class and never through a group, unless
    the data set has one of its own. The test split never depends on the configuration of that choice.
    """

    class Config(ComponentConfig):
        validation: Share = 0.1
        """Share of the training samples that are held out to choose the best checkpoint, where the data set has no
        validation split of its own."""

        seed: NonNegativeInt = 0
        """Of that choice."""

        on_bad_sample: OnBadSample = "refuse"
        """`refuse` or `skip` samples that cannot be read; each is named."""

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
        if own is None:
            training, own = split(training, self.config.validation, self.config.seed)
        return {"train": training, "validation": own}

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """Return inputs and targets in batches, without the samples that were skipped.

        Raises:
            DataError: no sample is left.
        """
        kept = [sample for sample in samples if sample is not None]
        if not kept:
            raise DataError(
                f"{type(self).__name__}.collate",
                found=f"a batch of {len(samples)} samples that cannot be read",
                expected="at least one that can",
                hint="The warnings name them; hint the data, or take larger batches.",
            )
        labels = [sample.label for sample in kept]
        targets = None if any(label is None for label in labels) else self.collate_targets(labels)
        return Batch(self.collate_inputs([sample.inputs for sample in kept]), targets)

    def collate_inputs(self, inputs: Sequence[Any]) -> Any:
        """Return what an encoder reads, of single samples of it; by default, tensors stacked."""
        return default_collate(list(inputs))

    def collate_targets(self, labels: Sequence[Any]) -> Any:
        """Return what `loss` and the metrics read; by default, a tensor of shape (B,)."""
        return torch.tensor(labels)

    def read(self, path: Path) -> Sample:
        """Return the sample of a user's file as evaluation sees the data set's.

        Raises:
            DataError: the file is missing, truncated, or of another format.
        """
        return Sample(self.loader(training=False)(Path(path)), None)
