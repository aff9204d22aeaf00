"""Find the files of a user's splits, for `itnet init`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

SPLITS = {
    "train": re.compile(r"(^|[-_. ])(train|training)$", re.IGNORECASE),
    "validation_file": re.compile(r"(^|[-_. ])(val|valid|validation|dev)$", re.IGNORECASE),
    "test": re.compile(r"(^|[-_. ])(test|testing)$", re.IGNORECASE),
}
"""Ends of the names of files without suffix, by the option of tasks on tables."""


def split_files(path: Path, suffixes: Sequence[str]) -> dict[str, str]:
    """Return the file of each split among those of a folder, by the option of a task; or `path` itself.

    A single file, of any name, is that of the training samples.

    Example:
        >>> for name in ("reviews_train.csv", "reviews_test.csv", "notes.md"):
        ...     Path("films").mkdir(exist_ok=True)
        ...     Path("films", name).touch()
        >>> split_files(Path("films"), [".csv"])
        {'train': 'films/reviews_train.csv', 'test': 'films/reviews_test.csv'}

    Args:
        path: a folder or a file.
        suffixes: lower-case suffixes of the files.

    Returns:
        Paths by `train`, `validation_file` and `test`; empty without a file for training, or if it is not clear which
        one it is.
    """
    try:
        files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    except OSError:
        return {}
    files = [file for file in files if file.suffix.lower() in suffixes and not file.name.startswith(".")]
    found: dict[str, str] = {}
    for split, pattern in SPLITS.items():
        mine = [file for file in files if pattern.search(file.stem)]
        if len(mine) == 1:
            found[split] = mine[0].as_posix()
    if len(files) == 1:
        return {"train": files[0].as_posix()}
    return found if "train" in found else {}
