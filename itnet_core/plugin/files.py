"""Reading regular files only, and writing files that are complete or absent.

A FIFO or a device is refused: opening a FIFO waits for a writer, and reading a device may never end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes. Links are followed.

    Example:
        >>> _ = Path("labels.txt").write_text("cat")
        >>> with open_regular(Path("labels.txt")) as file:
        ...     file.read()
        b'cat'

    Raises:
        OSError: the operating system refuses to open it, as for `open`, or it is a FIFO or a device.
    """
    # Without O_NONBLOCK, opening a FIFO waits. Reading a regular file is the same with it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):  # which `os.open` opens, unlike `open`
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kind = "a FIFO (named pipe)" if stat.S_ISFIFO(mode) else "a device"
    raise OSError(errno.EINVAL, f"{kind}, not a regular file", str(path))


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Example:
        >>> _ = Path("labels.txt").write_text("cat")
        >>> read_regular(Path("labels.txt"), most=1024)
        b'cat'

    Raises:
        OSError: as for `open_regular`, or the file is larger.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"more than {most} bytes", str(path))
    return content


def partial_path(path: Path, token: str = "") -> Path:
    """Return the temporary name under which a file or folder is written before it gets its own.

    Example:
        >>> partial_path(Path("runs/metrics.json")).as_posix()
        'runs/.metrics.json.part'

    Args:
        path: the final name.
        token: distinguishes writers that may work at the same time.
    """
    return path.with_name(f".{path.name}.{token}.part" if token else f".{path.name}.part")


def partial_paths(path: Path) -> list[Path]:
    """Return the partial files of interrupted writes of `path`, whatever their tokens."""
    return [p for p in path.parent.glob(".*.part") if p.name.startswith(f".{path.name}.")]


def previous_path(path: Path) -> Path:
    """Return the name of a folder while another one replaces it, on systems that cannot exchange two names.

    A replacement that is killed in between leaves the old folder under this name.

    Example:
        >>> previous_path(Path("runs/best")).as_posix()
        'runs/.best.previous'
    """
    return path.with_name(f".{path.name}.previous")


def sync_file(path: Path) -> None:
    """Flush the content of a closed file to disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def atomic_path(path: Path, token: str = "") -> Iterator[Path]:
    """Yield a temporary name to write a file to; afterwards flush it to disk and rename it to `path`.

    A reader sees the old file or the new one, never a part. If the body fails, the temporary file is removed and `path`
    is unchanged.

    Example:
        ```python
        with atomic_path(Path("metrics.json")) as partial:
            partial.write_text("{}")
        ```

    Args:
        path: the file.
        token: as for `partial_path`.
    """
    partial = partial_path(path, token)
    try:
        yield partial
        sync_file(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, complete or not at all; line ends stay as they are.

    Example:
        >>> write_atomically(Path("labels.txt"), "cat")
        >>> Path("labels.txt").read_text()
        'cat'
    """
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
