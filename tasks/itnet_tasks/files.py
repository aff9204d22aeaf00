"""Files of data sets and of users, opened with care."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from itnet_core import DataError
from itnet_core.plugin.files import open_regular


def open_data(path: Path, expected: str, hint: str = "") -> BinaryIO:
    """Open a regular file for reading bytes.

    Args:
        path: the file; links are followed.
        expected: what it should hold.
        hint: what to do if there is no such file.

    Raises:
        DataError: there is no such file, it is a folder, a FIFO or a device, or it cannot be opened.
    """
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise DataError(str(path), found="no such file", expected=expected, hint=hint) from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        found = getattr(error, "strerror", None) or str(error)
        raise DataError(str(path), found=found, expected=expected) from None


def read_data(path: Path, expected: str, hint: str = "") -> bytes:
    """Return the bytes of a regular file; see `open_data`."""
    with open_data(path, expected, hint) as file:
        return file.read()


def inside(name: str, place: str) -> str:
    """Return a file name that a data set contains, checked to stay below the folder that it is relative to.

    Links below the folder may lead anywhere.

    Args:
        name: the name.
        place: where the data set contains it, for the error.

    Raises:
        DataError: the name is absolute, or contains `..`.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DataError(place, found=f"the file name {name!r}", expected="a name below the data set's own folder")
    return name
