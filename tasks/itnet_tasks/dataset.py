"""Labelled samples as a torch dataset, and what is done about those that cannot be read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torch.utils.data import Dataset

from itnet_core import DataError
from itnet_tasks.errors import SkippedSampleWarning

OnBadSample = Literal["refuse", "skip"]


class Sample(NamedTuple):
    """What an encoder reads, not yet in a batch, and its label (a class, a number, …); `None` where it is not known."""

    inputs: Any
    label: Any


class Labelled(NamedTuple):
    """Samples as the data set keeps them, and what is to be learned of them.

    Attributes:
        sources: files, texts, or tensors in memory.
        labels: classes as whole numbers of shape (N,), numbers of shape (N,), or one object a sample.
        groups: of each sample, a name for those that must stay on one side of every split (the questions about one
            image, the recordings of one speaker), if there are such.
    """

    sources: Sequence[Any] | Tensor
    labels: Sequence[Any] | Tensor
    groups: Sequence[str] | None = None

    def select(self, indices: Tensor) -> Labelled:
        """Return some of them."""
        chosen = indices.tolist()

        def of(values: Any) -> Any:
            return values[indices] if isinstance(values, Tensor) else [values[i] for i in chosen]

        return Labelled(of(self.sources), of(self.labels), None if self.groups is None else of(self.groups))


class LabelledDataset(Dataset[Sample | None]):
    """Labelled samples, each loaded when it is asked for.

    Args:
        labelled: the samples.
        load: makes of a source what an encoder reads; raises `DataError` for a source that is not sound.
        on_bad_sample: what to do about such a source: `refuse` raises; `skip` gives `None`, which `collate` leaves out,
            and warns with the error's words and a count. Each worker process counts for itself.
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
            if index not in self._skipped:  # once each, not once an epoch
                self._skipped.add(index)
                warn_skipped(len(self._skipped), len(self), str(error))
            return None


def warn_skipped(count: int, total: int, why: str) -> None:
    """Warn that `count` samples of `total` were left out so far."""
    warnings.warn(f"{count} of {total} samples skipped so far. {why}", SkippedSampleWarning, stacklevel=3)
