"""Labelled samples as a torch dataset, which refuses or skips unreadable samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torch.utils.data import Dataset

from itnet_core import DataError
from itnet_tasks.errors import SkippedSampleWarning
from itnet_tasks.stored import Stored

OnBadSample = Literal["refuse", "skip"]


class Sample(NamedTuple):
    """Input of an encoder, not yet in a batch, and its label, or `None` if the label is unknown.

    Example:
        >>> samples = LabelledDataset(Labelled(["1.5", "2.5"], [0, 1]), load=float)
        >>> inputs, label = samples[1]
        >>> inputs, label
        (2.5, 1)
    """

    inputs: Any
    label: Any


class Labelled(NamedTuple):
    """Samples as a data set stores them, with their labels.

    Example:
        >>> import torch
        >>> samples = Labelled(["a fine film", "dull", "very dull"], torch.tensor([1, 0, 0]))
        >>> samples.select(torch.tensor([0, 2])).sources
        ['a fine film', 'very dull']

    Attributes:
        sources: files, texts, tensors in memory, or parts of large files (`Stored`).
        labels: class numbers of shape (N,), real numbers of shape (N,), or one object per sample.
        groups: one name per sample; samples with the same name are always in the same split (the questions about one
            image, the recordings of one speaker). `None` if samples are independent.
    """

    sources: Sequence[Any] | Tensor
    labels: Sequence[Any] | Tensor
    groups: Sequence[str] | None = None

    def select(self, indices: Tensor) -> Labelled:
        """Return the samples at some indices."""
        chosen = indices.tolist()

        def take(values: Any) -> Any:
            if isinstance(values, Stored):
                return values.select(indices)
            return values[indices] if isinstance(values, Tensor) else [values[i] for i in chosen]

        return Labelled(take(self.sources), take(self.labels), None if self.groups is None else take(self.groups))


class LabelledDataset(Dataset[Sample | None]):
    """Labelled samples, loaded on access.

    Example:
        >>> def load(text):
        ...     if not text:
        ...         raise DataError("notes.csv:2", found="an empty text", expected="a text")
        ...     return text
        >>> samples = LabelledDataset(Labelled(["a fine film", ""], torch.tensor([1, 0])), load)
        >>> len(samples), samples[0]
        (2, Sample(inputs='a fine film', label=1))
        >>> samples[1]
        Traceback (most recent call last):
        itnet_core.plugin.errors.DataError: notes.csv:2: found an empty text; expected a text. Or leave ...

    Args:
        labelled: the samples.
        load: turns a source into an encoder's input; raises `DataError` for a bad source.
        on_bad_sample: `refuse` raises that error; `skip` returns `None`, which `LabelledTask.collate` drops, and warns
            with the error and a count. Each worker process counts its own.
    """

    def __init__(self, labelled: Labelled, load: Callable[[Any], Any], on_bad_sample: OnBadSample = "refuse") -> None:
        labels = labelled.labels
        self.sources, self.labels = labelled.sources, labels.tolist() if isinstance(labels, Tensor) else labels
        self.load, self.on_bad_sample = load, on_bad_sample
        self._skipped: set[int] = set()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample | None:
        try:
            return Sample(self.load(self.sources[index]), self.labels[index])
        except DataError as error:
            if self.on_bad_sample == "refuse":
                error.hint = f"{error.hint} Or leave such samples out with on_bad_sample: skip.".strip()
                raise
            if index not in self._skipped:  # warn once per sample, not once per epoch
                self._skipped.add(index)
                warn_skipped(len(self._skipped), len(self), str(error))
            return None


def warn_skipped(count: int, total: int, reason: str) -> None:
    """Warn that `count` of `total` samples were skipped so far, with the reason for the last one.

    Example:
        >>> with warnings.catch_warnings(record=True, action="always") as caught:
        ...     warn_skipped(1, 300, "7.png: found an empty file; expected an image.")
        >>> print(caught[0].message)
        1 of 300 samples skipped so far. 7.png: found an empty file; expected an image.
    """
    warnings.warn(f"{count} of {total} samples skipped so far. {reason}", SkippedSampleWarning, stacklevel=3)
