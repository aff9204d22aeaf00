"""Putting a folder in the place of another, so that one of the two is there at every moment."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock

_HERE = -100  # AT_FDCWD on Linux
_EXCHANGE = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS
_renaming = Lock()


def put(new: Path, path: Path) -> None:
    """Give the folder `new` the name `path`; a folder that has it stands as `new` afterwards, or is removed.

    Where the operating system can exchange two names (Linux, macOS), a complete folder is at `path` at every moment:
    whatever other threads and processes put there, and if the process is killed. Elsewhere the folder that is replaced
    stands as `aside(path)` between two renames; it is put back if the second fails, and threads take turns.
    """
    with _renaming:
        try:
            new.rename(path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            if not _exchange(new, path):
                _by_two_renames(new, path)


def aside(path: Path) -> Path:
    """Return where a folder that is being replaced stands for a moment, where names cannot be exchanged."""
    return path.with_name(f".{path.name}.previous")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names at once; return whether this system and file system can."""
    call = _exchanger()
    if call is None:
        return False
    if call(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


def _exchanger() -> Callable[[bytes, bytes], int] | None:
    """Return the system's function that exchanges two names, if it has one."""
    if sys.platform not in ("linux", "darwin"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        return lambda one, other: int(library.renameat2(_HERE, one, _HERE, other, _EXCHANGE))
    if hasattr(library, "renamex_np"):
        return lambda one, other: int(library.renamex_np(one, other, _EXCHANGE))
    return None


def _by_two_renames(new: Path, path: Path) -> None:
    old = aside(path)
    shutil.rmtree(old, ignore_errors=True)
    path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
