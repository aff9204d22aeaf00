"""Open the files of data sets and of users."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from itnet_core import DataError, open_regular


def open_data(path: Path, expected: str, hint: str = "") -> BinaryIO:
    """Open a regular file for reading bytes.

    Example:
        >>> _ = Path("cat.gif").write_bytes(b"GIF89a")
        >>> with open_data(Path("cat.gif"), expected="an image") as file:
        ...     file.read(3)
        b'GIF'

    Args:
        path: the file; links are followed.
        expected: what the file should contain, for errors.
        hint: what to do if the file is missing.

    Raises:
        DataError: the file is missing, is a folder, a FIFO or a device, or cannot be opened.
    """
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise DataError(str(path), found="no such file", expected=expected, hint=hint) from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        found = getattr(error, "strerror", None) or str(error)
        raise DataError(str(path), found=found, expected=expected) from None


def read_data(path: Path, expected: str, hint: str = "") -> bytes:
    """Read the bytes of a regular file; see `open_data`.

    Example:
        >>> read_data(Path("missing.bin"), expected="100 records")
        Traceback (most recent call last):
        itnet_core.plugin.errors.DataError: missing.bin: found no such file; expected 100 records.
    """
    with open_data(path, expected, hint) as file:
        return file.read()


def decode_text(content: bytes, path: Path, encoding: str = "utf-8") -> str:
    """Decode the content of a text file, without a byte order mark.

    Example:
        >>> decode_text("a fine film".encode("utf-16"), Path("a.txt"), "utf-16")
        'a fine film'

    Args:
        content: all bytes of the file.
        path: the file, for errors.
        encoding: one of Python's encodings.

    Raises:
        DataError: the content is not in this encoding, or there is no such encoding; the error names the line.
    """
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {content.count(10, 0, error.start) + 1}",
            found=f"bytes that are not {encoding} ({content[error.start : error.start + 4]!r})",
            expected=f"a text in {encoding}",
            hint="Set encoding to the file's (latin-1, utf-16, …), or convert it.",
        ) from None
    except LookupError:
        raise DataError(str(path), found=f"the encoding {encoding!r}", expected="one of Python's encodings") from None


def check_inside(name: str, place: str) -> str:
    """Return a file name from a data set after checking that it stays below the data set's folder.

    Links below the folder may lead anywhere.

    Example:
        >>> check_inside("images/1.png", "captions.csv:2")
        'images/1.png'

    Args:
        name: the name.
        place: where the data set contains the name, for errors.

    Raises:
        DataError: the name is absolute, or contains `..`.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DataError(place, found=f"the file name {name!r}", expected="a name below the data set's own folder")
    return name
