"""Inputs of predictions: values, files, folders, patterns, and rows of tables."""

from __future__ import annotations

from collections.abc import Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import Any, NamedTuple

from itnet_core import DataError, ITNetError, Task
from itnet_registry.prediction.tables import TABLES, read_rows, value_of


class Input(NamedTuple):
    """An input of a prediction.

    Attributes:
        name: the file, the row or the text; "" for another value.
        source: what `Task.read` reads, or the error that prevents it.
    """

    name: str
    source: Any


def find_inputs(value: Any, task: Task, column: str | None = None) -> Iterator[Input]:
    """Yield the inputs of a value.

    A folder has those of its files that the task reads, at any depth; hidden ones are skipped. A table has one in each
    row, unless the task itself reads such files. What cannot be read is one input, with the error.

    Args:
        value: a `Path`; a string, which is a text for tasks that read texts, and otherwise a file name or a pattern
            such as `images/*.png`; or another value.
        task: the task.
        column: the column of a table that alone is the input.
    """
    if isinstance(value, str) and not task.reads_text:
        value = Path(value)
    if not isinstance(value, Path):
        yield Input(value if isinstance(value, str) else "", value)
        return
    try:
        for path in _matches(value):
            for file in _files(path, task) if path.is_dir() else [path]:
                yield from _inputs_of(file, task, column)
    except ITNetError as error:
        yield Input(str(value), error)
    except (OSError, ValueError) as error:  # a name that no file can have, or a folder that cannot be read
        found = getattr(error, "strerror", None) or str(error)
        yield Input(str(value), DataError(str(value), found=found, expected="a file or a folder"))


def resolve_argument(text: str, task: Task) -> Any:
    """Return the value of an argument of the command line: a `Path`, or a string as `find_inputs` takes it.

    For a task that reads texts, an argument is a file if it exists, or ends as files of the task or tables do.
    """
    if not task.reads_text:
        return text
    try:
        exists = Path(text).exists()
    except OSError:  # a text that is too long for a file name
        return text
    return Path(text) if exists or Path(text).suffix.lower() in (*task.suffixes, *TABLES) else text


def _matches(path: Path) -> list[Path]:
    """Return the files and folders of a pattern, or a path that is none."""
    if not has_magic(str(path)) or path.exists():
        return [path]
    found = sorted(map(Path, glob(str(path), recursive=True)))  # noqa: PTH207  # Path.glob also returns hidden files
    if not found:
        raise DataError(str(path), found="no file of this pattern", expected="at least one")
    return found


def _files(folder: Path, task: Task) -> list[Path]:
    visible = (path for path in folder.rglob("*") if not any(p.startswith(".") for p in path.relative_to(folder).parts))
    files = sorted(path for path in visible if path.is_file())
    found = [path for path in files if not task.suffixes or path.suffix.lower() in task.suffixes]
    if not found:
        raise DataError(
            str(folder),
            found=f"{len(files)} files, and none that the task reads",
            expected=f"files ending in {', '.join(task.suffixes)}" if task.suffixes else "at least one file",
        )
    return found


def _inputs_of(path: Path, task: Task, column: str | None) -> Iterator[Input]:
    suffix = path.suffix.lower()
    try:
        if suffix not in TABLES or (suffix in task.suffixes and column is None):
            yield from (Input(*part) for part in task.parts(path))
            return
        for place, row in read_rows(path):
            yield Input(place, value_of(row, path, column, texts=task.reads_text))
    except ITNetError as error:
        yield Input(str(path), error)
