"""Classification of your own files, sorted into one folder per class."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from itnet_core import DataError, Detection
from itnet_tasks.class_folders import class_files, class_names
from itnet_tasks.classification import Classification
from itnet_tasks.dataset import Labelled
from itnet_tasks.errors import SkippedSampleWarning
from itnet_tasks.splits import HeldOut, hold_out

DETECTED = 50
"""Files of a folder that `detect` reads, about."""


class FolderClassification(Classification):
    """Base of tasks on files in `root/train/<class>/` and, optionally, `root/val/<class>/` and `root/test/<class>/`.

    Without a folder `train`, the class folders lie in `root` itself. Without a folder `test`, a fixed fold of the
    samples is the test split. Links to folders are followed; hidden files and folders are ignored.

    Example:
        >>> class Notes(FolderClassification):
        ...     modality, suffixes = "text", (".txt",)
        ...     def loader(self, *, training):
        ...         return Path.read_text
        >>> for name in ("bad", "good"):
        ...     Path("notes", name).mkdir(parents=True)
        ...     for i in range(5):
        ...         _ = Path("notes", name, f"{i}.txt").write_text(f"a {name} film")
        >>> task = Notes(root="notes")
        >>> task.classes, len(task.dataset("train")), task.dataset("test")[0]
        (('bad', 'good'), 6, Sample(inputs='a bad film', label=0))

    Attributes:
        suffixes: lower-case suffixes of sample files, such as `.png`.
        kind: what the files are, for `itnet init`.
    """

    class Config(Classification.Config, HeldOut):
        root: str
        """Folder that contains the class folders, or `train`, `val` and `test`."""

        classes: tuple[str, ...] | None = None
        """Names of the class folders, in the order of the class numbers. By default the folders that exist, sorted. A
        checkpoint stores the names, so that it predicts without the data."""

        def completed(self) -> Self:
            """Fill in `classes` from the folders, if they exist already."""
            if self.classes is not None:
                return self
            try:
                return self.model_copy(update={"classes": _classes(self.root)})
            except DataError:  # a configuration may be written before the data exist
                return self

    kind: ClassVar[str] = "files"

    @classmethod
    def detect(cls, path: Path) -> Detection | None:
        """Detect two or more class folders with files of the task's suffixes."""
        root = training_folder(str(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedSampleWarning)
            try:
                names = class_names(root)
                files = class_files(root, names, cls.suffixes).sources
            except DataError:
                return None
        if len(names) < 2:
            return None
        few = [Path(file) for file in files[:: max(1, len(files) // DETECTED)]]
        measured, configs = cls.propose(few)
        listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        found = f"{len(files):,} {cls.kind} in {len(names)} class folders ({listed}){measured}"
        return Detection(found, len(files), [(model, {"root": str(path), **task}) for model, task in configs])

    @classmethod
    def propose(cls, files: Sequence[Path]) -> tuple[str, Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]]:
        """Return what `detect` adds of some of the files in words, and models with options of the task for them.

        By default no models, and the task takes no part in `itnet init`.
        """
        return "", ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the class folders.

        Raises:
            DataError: the configuration does not list them, and no folder to read them from exists.
        """
        return self.config.classes or _classes(self.config.root)

    def training(self) -> Labelled:
        """Return the training samples; without a folder `test`, a fold of them is held out for the test split."""
        return self._train_and_test[0]

    def validation(self) -> Labelled | None:
        """Return the samples below `val`, if that folder exists."""
        return self._optional("val")

    def test(self) -> Labelled:
        """Return the samples below `test`, or the samples held out."""
        return self._train_and_test[1]

    def groups(self, files: Sequence[Path]) -> Sequence[str] | None:
        """Return one name per file, equal for files that no split may separate; by default `None`, for no groups."""
        return None

    @cached_property
    def _train_and_test(self) -> tuple[Labelled, Labelled]:
        samples = class_files(training_folder(self.config.root), self.classes, self.suffixes)
        samples = samples._replace(groups=self.groups(samples.sources))  # type: ignore[arg-type]
        test = self._optional("test")
        return (samples, test) if test is not None else hold_out(samples, self.config)

    def _optional(self, split: str) -> Labelled | None:
        root = Path(self.config.root).expanduser()
        if not (root / "train").is_dir() or not (root / split).is_dir():
            return None
        return class_files(root / split, self.classes, self.suffixes, complete=False)


def _classes(root: str) -> tuple[str, ...]:
    return tuple(class_names(training_folder(root)))


def training_folder(root: str) -> Path:
    """Return the folder that contains the class folders for training: `root/train`, or else `root`."""
    folder = Path(root).expanduser()
    return folder / "train" if (folder / "train").is_dir() else folder
