"""A folder for each class, with the samples' files below it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from itnet_core import DataError
from itnet_tasks.dataset import Labelled
from itnet_tasks.errors import SkippedSampleWarning


def class_names(root: Path) -> list[str]:
    """Return the names of the folders in `root`, sorted; hidden ones are left out.

    Raises:
        DataError: there is no such folder, or none in it.
    """
    if not root.is_dir():
        mend = "Set root to the folder that holds it."
        raise DataError(str(root), found="no such folder", expected="a folder with one for each class", mend=mend)
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise DataError(str(root), found="no folder in it", expected="a folder for each class")
    return names


def class_files(root: Path, classes: Sequence[str], suffixes: Sequence[str], *, complete: bool = True) -> Labelled:
    """Return the files below the class folders, at any depth, in a fixed order, and their classes' numbers.

    Files without one of the suffixes are left out, and a warning counts them; hidden ones are left out silently.

    Args:
        root: the folder that holds the class folders.
        classes: the names of the folders, in the order of the classes' numbers.
        suffixes: of the samples' files, in lower case: `.png`. The case of a file's does not matter.
        complete: whether each class has to have a file.

    Raises:
        DataError: the folder is not there, holds the folder of another class, or has no file of a class.
    """
    unknown = sorted(set(class_names(root)) - set(classes))
    if unknown:
        raise DataError(
            str(root),
            found=f"{len(unknown)} unknown class folders, {unknown[0]} the first",
            expected=f"some of the {len(classes)} classes, {classes[0]} to {classes[-1]}",
            mend="Splits have classes of the same names.",
        )
    files: list[Path] = []
    numbers: list[int] = []
    others: list[Path] = []
    for number, name in enumerate(classes):
        found = sorted(path for path in (root / name).rglob("*") if path.is_file() and not path.name.startswith("."))
        fit = [path for path in found if path.suffix.lower() in suffixes]
        if complete and not fit:
            raise DataError(
                str(root / name),
                found="no file of a sample" if (root / name).is_dir() else "no such folder",
                expected=f"files ending in {', '.join(suffixes)}",
            )
        files += fit
        numbers += [number] * len(fit)
        others += [path for path in found if path.suffix.lower() not in suffixes]
    if others:
        left_out = f"{len(others)} of {len(others) + len(files)} files left out, by their suffix: {others[0]}"
        warnings.warn(left_out + (" and others" if len(others) > 1 else ""), SkippedSampleWarning, stacklevel=2)
    return Labelled(files, torch.tensor(numbers, dtype=torch.int64))
