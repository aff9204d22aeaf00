"""Base of tasks on labelled samples, of any modality and any label."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch.utils.data import default_collate

from itnet_core import Batch, ComponentConfig, DataError, Split, Task
from itnet_tasks.dataset import Labelled, LabelledDataset, OnBadSample, Sample
from itnet_tasks.splits import Share, split
from itnet_tasks.stored import Stored
from itnet_tasks.values import unreadable


class LabelledTask(Task):
    """Base of tasks with one label per sample.

    A subclass lists its samples (`training`, `test`, optionally `validation`) and loads one (`loader`). The validation
    split is the data set's own, or else a seeded part of the training samples, stratified by class, that never divides
    a group. The test split never depends on the options of the validation split.

    Example:
        >>> from torchmetrics.classification import MultilabelAccuracy
        >>> class Tags(LabelledTask):
        ...     modality, monitor, head = "text", "accuracy", {"name": "itnet-core/classify", "classes": 3}
        ...     def training(self):
        ...         return Labelled(["a red chair", "a green table"] * 10, [(1, 0, 1), (0, 1, 0)] * 10)
        ...     def test(self):
        ...         return Labelled(["a red table"], [(1, 0, 0)])
        ...     def loader(self, *, training):
        ...         return str
        ...     def loss(self, prediction, targets):
        ...         return nn.functional.binary_cross_entropy_with_logits(prediction, targets.float())
        ...     def metrics(self):
        ...         return {"accuracy": MultilabelAccuracy(3)}
        ...     def describe(self, prediction):
        ...         return [{"tags": tags.nonzero().flatten().tolist()} for tags in prediction > 0]
        >>> task = Tags()
        >>> task.dataset("test")[0], task.describe(torch.tensor([[2.0, -1.0, 1.0]]))
        (Sample(inputs='a red table', label=(1, 0, 0)), [{'tags': [0, 2]}])
    """

    class Config(ComponentConfig):
        validation: Share = 0.1
        """Share of the training samples held out for validation, if the data set has no validation split of its own."""

        training_samples: PositiveInt | None = None
        """Number of training samples to use, about as many of every class as its share, for learning curves and fair
        comparisons; `null` for all. They are chosen by `seed`, after the validation samples."""

        seed: NonNegativeInt = 0
        """Seed of the validation split, and of the choice of `training_samples`."""

        on_bad_sample: OnBadSample = "refuse"
        """`refuse` raises for a sample that cannot be read; `skip` leaves it out with a warning."""

    @abstractmethod
    def training(self) -> Labelled:
        """Return the training samples, including those for validation."""

    @abstractmethod
    def test(self) -> Labelled:
        """Return the test samples."""

    def validation(self) -> Labelled | None:
        """Return the data set's own validation samples, if it has any."""
        return None

    @abstractmethod
    def loader(self, *, training: bool) -> Callable[[Any], Any]:
        """Return a function that turns a sample's source into an encoder's input, with augmentation for training.

        The function takes a source of the data set or the path of a user's file, and raises `DataError` for a bad one.
        """

    def length(self, source: Any) -> float | None:
        """Return the length of a sample, in any unit, from its source; by default `None`, for samples of one length."""
        return None

    def dataset(self, split: Split) -> LabelledDataset:
        """Return the samples of a split.

        Raises:
            DataError: the data set is missing, or not in its published layout.
        """
        return LabelledDataset(
            self._samples_of(split), self.loader(training=split == "train"), self.config.on_bad_sample
        )

    def lengths(self, split: Split) -> list[float] | None:
        """Return the length of each sample of a split, 0 for one that cannot be read; `None` if `length` gives none.

        Raises:
            DataError: as for `dataset`.
        """
        sources, lengths = self._samples_of(split).sources, []
        for number in range(len(sources)):
            try:
                length = self.length(sources[number])
            except DataError:  # which `dataset` raises or skips
                length = 0.0
            if length is None:
                return None
            lengths.append(length)
        return lengths

    def chunks(self, split: Split) -> list[int] | None:
        """Return the numbers of samples in consecutive chunks of large files; `None` for other sources.

        Raises:
            DataError: as for `dataset`.
        """
        sources = self._samples_of(split).sources
        return sources.chunks() if isinstance(sources, Stored) else None

    def _samples_of(self, split: Split) -> Labelled:
        return self.test() if split == "test" else self._training_parts[split]

    @cached_property
    def _training_parts(self) -> dict[Split, Labelled]:
        training, own = self.training(), self.validation()
        if own is None:
            training, own = split(training, self.config.validation, self.config.seed)
        wanted, available = self.config.training_samples, len(training.sources)
        if wanted is not None and wanted < available:
            _, training = split(training, wanted / available, self.config.seed)
        return {"train": training, "validation": own}

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """Collate samples into a batch, without those that were skipped.

        Raises:
            DataError: no sample is left.
        """
        kept = [sample for sample in samples if sample is not None]
        if not kept:
            raise DataError(
                f"{type(self).__name__}.collate",
                found=f"a batch of {len(samples)} samples that cannot be read",
                expected="at least one readable sample",
                hint="The warnings name them; fix the data, or use larger batches.",
            )
        labels = [sample.label for sample in kept]
        targets = None if any(label is None for label in labels) else self.collate_targets(labels)
        return Batch(self.collate_inputs([sample.inputs for sample in kept]), targets)

    def collate_inputs(self, inputs: Sequence[Any]) -> Any:
        """Collate the inputs of single samples into an encoder's input; by default, stack tensors."""
        return default_collate(list(inputs))

    def collate_targets(self, labels: Sequence[Any]) -> Any:
        """Collate labels into the targets of `loss` and of the metrics; by default, a tensor of shape (B,)."""
        return torch.tensor(labels)

    def read(self, source: Any) -> Sample:
        """Read a user's file, or a value in memory, as a sample, as evaluation reads the samples of the data set.

        Raises:
            DataError: the file is missing, truncated, or of another format, or the value is of another kind.
        """
        return Sample(self.loader(training=False)(source if isinstance(source, Path) else self.source_of(source)), None)

    def source_of(self, value: Any) -> Any:
        """Return a source that `loader` loads from a user's value in memory, which is no `Path`.

        By default, every value is refused: the task reads files alone.

        Raises:
            DataError: the value is of another kind.
        """
        raise unreadable(value, "the Path of a file")
