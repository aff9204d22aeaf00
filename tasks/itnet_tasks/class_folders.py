"""List data sets that have one folder per class."""

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
    """Return the sorted names of the folders in `root`, without hidden ones.

    Example:
        >>> for name in ("dog", "cat", ".cache"):
        ...     Path("pets", name).mkdir(parents=True)
        >>> class_names(Path("pets"))
        ['cat', 'dog']

    Raises:
        DataError: `root` is missing, cannot be read, or contains no folder.
    """
    if not root.is_dir():
        hint = "Set root to the folder that holds it."
        raise DataError(str(root), found="no such folder", expected="a folder with one subfolder per class", hint=hint)
    within = _scan(str(root))
    names = sorted(Path(path).name for path in within.folders + within.links)
    if not names:
        raise DataError(str(root), found="no folder", expected="one folder per class")
    return names


def class_files(root: Path, classes: Sequence[str], suffixes: Sequence[str], *, complete: bool = True) -> Labelled:
    """List the files below the class folders, at any depth and in a fixed order, with their class numbers.

    Links are followed. Files with other suffixes are skipped with a warning that counts them; hidden files and folders
    are skipped silently.

    Example:
        >>> for name in ("blues/1.wav", "blues/2.WAV", "jazz/live/1.wav"):
        ...     Path("music", name).parent.mkdir(parents=True, exist_ok=True)
        ...     Path("music", name).touch()
        >>> files, numbers, _ = class_files(Path("music"), ["blues", "jazz"], [".wav"])
        >>> [file.as_posix() for file in files], numbers.tolist()
        (['music/blues/1.wav', 'music/blues/2.WAV', 'music/jazz/live/1.wav'], [0, 0, 1])

    Args:
        root: the folder that contains the class folders.
        classes: names of the class folders, in the order of the class numbers.
        suffixes: lower-case suffixes of sample files, such as `.png`. Matching ignores case.
        complete: require at least one file in every class.

    Raises:
        DataError: the folder is missing, contains the folder of an unknown class, or has no file of a class; or a
            folder cannot be read.
    """
    unknown = sorted(set(class_names(root)) - set(classes))
    if unknown:
        raise DataError(
            str(root),
            found=f"{len(unknown)} unknown class folders, the first {unknown[0]}",
            expected=f"some of the {len(classes)} classes, {classes[0]} to {classes[-1]}",
            hint="All splits need the same class names.",
        )
    files: list[Path] = []
    numbers: list[int] = []
    others: list[str] = []
    above = {_identity(folder) for folder in (root, *root.absolute().parents, *root.resolve().parents)}
    for number, name in enumerate(classes):
        exists = (root / name).is_dir()
        before = len(files)
        for file in _files_below(str(root / name), above) if exists else ():
            if file.lower().endswith(tuple(suffixes)):
                files.append(Path(file))
            else:
                others.append(file)
        if complete and len(files) == before:
            raise DataError(
                str(root / name),
                found="no sample file" if exists else "no such folder",
                expected=f"files ending in {', '.join(suffixes)}",
            )
        numbers += [number] * (len(files) - before)
    if others:
        left_out = f"{len(others)} of {len(others) + len(files)} files left out because of their suffix: {others[0]}"
        warnings.warn(left_out + (" and others" if len(others) > 1 else ""), SkippedSampleWarning, stacklevel=2)
    return Labelled(files, torch.tensor(numbers, dtype=torch.int64))


def _files_below(folder: str, above: Set[tuple[int, int]]) -> list[str]:
    """List the files in a folder at any depth, sorted by the parts of their paths.

    Each folder is read once, under its own path rather than through a link, and the folders in `above` are skipped, so
    that links cannot form a cycle.
    """
    files: list[str] = []
    seen = set(above)
    folders, links = [folder], deque[str]()
    while folders or links:
        path = folders.pop() if folders else links.popleft()
        if (identity := _identity(Path(path))) in seen:
            continue
        seen.add(identity)
        within = _scan(path)
        files += within.files
        folders += within.folders
        links += within.links
    return sorted(files, key=lambda file: file.replace(os.sep, "\0"))  # sorts as the tuples of parts do


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder without permission
        return False


class _Within(NamedTuple):
    """Paths of a folder's visible entries. Everything that is not a folder counts as a file."""

    files: list[str]
    folders: list[str]
    links: list[str]


def _scan(folder: str) -> _Within:
    """Read the entries of a folder.

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
        raise DataError(folder, found=error.strerror or str(error), expected="a readable folder") from None
    return within
