"""Base of classification of samples that are stored in a few large files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

from itnet_core import DataError
from itnet_tasks.classification import Classification
from itnet_tasks.data_files import data_files
from itnet_tasks.dataset import Labelled, warn_skipped
from itnet_tasks.learned_task import LearnedTask
from itnet_tasks.splits import HeldOut, hold_out
from itnet_tasks.stored import Stored

FileNames = str | tuple[str, ...]

MOST = 1_000_000
"""Classes; larger numbers are no class numbers."""


class Rows(NamedTuple):
    """The samples of some files, as the files have them.

    Attributes:
        sources: the content of each.
        labels: a class number or name of each; `None` if it has none.
        places: the place of each, for errors.
        faulty: what is wrong with a sample besides its label, by its number.
        classes: class names that the files state.
    """

    sources: Stored
    labels: Sequence[Any]
    places: Sequence[str]
    faulty: Mapping[int, str] = {}
    classes: tuple[str, ...] | None = None


class LargeFiles(LearnedTask, Classification):
    """Base of tasks whose samples are read from large files by their index.

    A subclass lists the samples of files (`rows`); a base of its modality loads the `Content` of one. Samples without
    the label of a class, or with another fault, are refused or skipped when they are listed.
    """

    class Config(HeldOut, LearnedTask.Config, Classification.Config):
        root: str = "."
        """Folder that the names of files start from, and that files are downloaded into."""

        train: FileNames
        """Files of the training samples, each a name, a pattern such as `train-*`, a range such as `train-{000..146}`,
        or an address in `https://` or `hf://datasets/OWNER/NAME/`."""

        validation_files: FileNames | None = None
        """Files of the validation samples; by default a part of `train`."""

        test: FileNames | None = None
        """Files of the test samples; by default a fold of `train`."""

        classes: tuple[str, ...] | None = None
        """Class names in the order of the class numbers; by default those that the files state, or else the numbers up
        to the largest or the sorted names among the labels. A checkpoint stores them."""

        download: bool = False
        """Allow downloading files of addresses that are not there."""

    fields = ("classes",)

    @abstractmethod
    def rows(self, files: Sequence[Path]) -> Rows:
        """Return the samples of files.

        Raises:
            DataError: a file is missing, or not as the configuration says.
        """

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        return tuple(self.settings.classes)

    def learned(self) -> dict[str, Any]:
        """Return the class names."""
        rows = self._training_rows
        return {"classes": rows.classes or _classes(rows, self.config.train)}

    def training(self) -> Labelled:
        """Return the training samples; without test files, a fold of them is held out for the test split."""
        return self._train_and_test[0]

    def validation(self) -> Labelled | None:
        """Return the samples of the validation files, or `None` without any."""
        names = self.config.validation_files
        return None if names is None else self._labelled(self._rows_of(names))

    def test(self) -> Labelled:
        """Return the samples of the test files, or those held out."""
        return self._train_and_test[1]

    @cached_property
    def _train_and_test(self) -> tuple[Labelled, Labelled]:
        everything, names = self._labelled(self._training_rows), self.config.test
        return (
            hold_out(everything, self.config) if names is None else (everything, self._labelled(self._rows_of(names)))
        )

    @cached_property
    def _training_rows(self) -> Rows:
        return self._rows_of(self.config.train)

    def _rows_of(self, names: FileNames) -> Rows:
        return self.rows(data_files(self.config.root, names, download=self.config.download))

    def _labelled(self, rows: Rows) -> Labelled:
        """Return the samples with class numbers, without the faulty ones if they are to be skipped."""
        known = {name: number for number, name in enumerate(self.classes)}
        numbers = [_number(label, known) for label in rows.labels]
        bad = sorted({number for number, label in enumerate(numbers) if label is None} | rows.faulty.keys())
        if not bad:
            return Labelled(rows.sources, torch.tensor(numbers, dtype=torch.int64))
        first = bad[0]
        error = DataError(
            rows.places[first],
            found=rows.faulty.get(first) or f"the label {rows.labels[first]!r:.80}",
            expected=f"data and a label: a number below {len(known)}, or one of {', '.join([*known][:5])}",
            hint="Leave such samples out with on_bad_sample: skip.",
        )
        if self.config.on_bad_sample == "refuse" or len(bad) == len(numbers):
            raise error
        warn_skipped(len(bad), len(numbers), str(error))
        faulty = set(bad)
        kept = torch.tensor([number for number in range(len(numbers)) if number not in faulty])
        return Labelled(rows.sources.select(kept), torch.tensor([numbers[number] for number in kept.tolist()]))


def _number(label: Any, known: dict[str, int]) -> int | None:
    """Return a class number from a number or a name."""
    if isinstance(label, str) and label in known:
        return known[label]
    number = _whole(label)
    return number if number is not None and 0 <= number < len(known) else None


def _whole(label: Any) -> int | None:
    try:
        return None if isinstance(label, float | bool) else int(label)
    except (TypeError, ValueError):
        return None


def _classes(rows: Rows, names: FileNames) -> tuple[str, ...]:
    """Return the class names that follow from the labels."""
    labels = {label for number, label in enumerate(rows.labels) if label is not None and number not in rows.faulty}
    numbers = [number for label in labels if (number := _whole(label)) is not None and number >= 0]
    if not labels or max(numbers, default=0) >= MOST:
        found = f"labels up to {max(numbers)}" if numbers else "no label"
        raise DataError(f"the samples of {names}", found=found, expected=f"class names, or numbers below {MOST}")
    if len(numbers) == len(labels):
        return tuple(map(str, range(max(numbers) + 1)))
    return tuple(sorted(map(str, labels)))
