"""A folder for each class, with the samples' files below it."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

import torch

from itnet_core import DataError
from itnet_tasks.dataset import Labelled
from itnet_tasks.errors import SkippedSampleWarning


def class_names(root: Path) -> list[str]:
    """Return the names of the folders in `root`, sorted; hidden ones are left out.

    Raises:
        DataError: there is no such folder, it cannot be read, or there is none in it.
    """
    if not root.is_dir():
        hint = "Set root to the folder that holds it."
        raise DataError(str(root), found="no such folder", expected="a folder with one for each class", hint=hint)
    within = _look_into(str(root))
    names = sorted(Path(path).name for path in within.folders + within.links)
    if not names:
        raise DataError(str(root), found="no folder in it", expected="a folder for each class")
    return names


def class_files(root: Path, classes: Sequence[str], suffixes: Sequence[str], *, complete: bool = True) -> Labelled:
    """Return the files below the class folders, at any depth, in a fixed order, and their classes' numbers.

    Links are followed. Files without one of the suffixes are left out, and a warning counts them; hidden ones, and
    those in hidden folders, are left out silently.

    Args:
        root: the folder that holds the class folders.
        classes: the names of the folders, in the order of the classes' numbers.
        suffixes: of the samples' files, in lower case: `.png`. The case of a file's does not matter.
        complete: whether each class has to have a file.

    Raises:
        DataError: the folder is not there, holds the folder of another class, or has no file of a class; or one in it
            cannot be read.
    """
    unknown = sorted(set(class_names(root)) - set(classes))
    if unknown:
        raise DataError(
            str(root),
            found=f"{len(unknown)} unknown class folders, {unknown[0]} the first",
            expected=f"some of the {len(classes)} classes, {classes[0]} to {classes[-1]}",
            hint="Splits have classes of the same names.",
        )
    files: list[Path] = []
    numbers: list[int] = []
    others: list[str] = []
    above = {_identity(folder) for folder in (root, *root.absolute().parents, *root.resolve().parents)}
    for number, name in enumerate(classes):
        there = (root / name).is_dir()
        before = len(files)
        for file in _files_below(str(root / name), above) if there else ():
            if file.lower().endswith(tuple(suffixes)):
                files.append(Path(file))
            else:
                others.append(file)
        if complete and len(files) == before:
            raise DataError(
                str(root / name),
                found="no file of a sample" if there else "no such folder",
                expected=f"files ending in {', '.join(suffixes)}",
            )
        numbers += [number] * (len(files) - before)
    if others:
        left_out = f"{len(others)} of {len(others) + len(files)} files left out, by their suffix: {others[0]}"
        warnings.warn(left_out + (" and others" if len(others) > 1 else ""), SkippedSampleWarning, stacklevel=2)
    return Labelled(files, torch.tensor(numbers, dtype=torch.int64))


def _files_below(folder: str, above: Set[tuple[int, int]]) -> list[str]:
    """Return the files in a folder at any depth, sorted by the parts of their paths.

    Each folder is read once, under its own path rather than under a link to it, and those in `above` are not read, so
    that links cannot form a cycle.
    """
    found: list[str] = []
    seen = set(above)
    folders, links = [folder], deque[str]()
    while folders or links:
        path = folders.pop() if folders else links.popleft()
        if (identity := _identity(Path(path))) in seen:
            continue
        seen.add(identity)
        within = _look_into(path)
        found += within.files
        folders += within.folders
        links += within.links
    return sorted(found, key=lambda file: file.replace(os.sep, "\0"))  # as their parts are


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder without permission
        return False


class _Within(NamedTuple):
    """Paths of the entries of a folder that are not hidden. Whatever is not a folder counts as a file."""

    files: list[str]
    folders: list[str]
    links: list[str]


def _look_into(folder: str) -> _Within:
    """Read a folder.

    Raises:
        DataError: the folder cannot be read.
    """
    within = _Within([], [], [])
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    folders = within.links if entry.is_symlink() else within.folders
                    (folders if _is_folder(entry) else within.files).append(entry.path)
    except OSError as error:
        raise DataError(folder, found=error.strerror or str(error), expected="a folder that can be read") from None
    return within
