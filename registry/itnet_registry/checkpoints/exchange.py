"""Replacement of a directory, so that a complete one is at its path at every moment."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from itnet_core.plugin.files import previous_path

_AT_FDCWD = -100  # Linux
_EXCHANGE = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS
_renaming = Lock()


def replace_directory(new: Path, path: Path) -> None:
    """Rename the directory `new` to `path`; an existing directory becomes `new`, or is removed.

    Where the operating system exchanges two names at once (Linux, macOS), a complete directory is at `path` at every
    moment, even if other threads or processes write there, or the process is killed. Elsewhere the replaced directory
    is at `previous_path(path)` between two renames; it is put back if the second one fails, and threads take turns.
    """
    with _renaming:
        try:
            new.rename(path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            if not _exchange(new, path):
                _rename_twice(new, path)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names at once; return `False` if the system or the file system does not support it."""
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
    """Return the system's function that exchanges two names, or `None`."""
    if sys.platform not in ("linux", "darwin"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        return lambda one, other: int(library.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _EXCHANGE))
    if hasattr(library, "renamex_np"):
        return lambda one, other: int(library.renamex_np(one, other, _EXCHANGE))
    return None


def _rename_twice(new: Path, path: Path) -> None:
    old = previous_path(path)
    shutil.rmtree(old, ignore_errors=True)
    path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
