"""A lock file that is released when the process that holds it ends, however it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from itnet_train.errors import RunError

if sys.platform != "win32":
    import fcntl

_held: set[int] = set()


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is created if necessary and never removed.

    On a file system without locks, print a warning and continue without one. On Windows, no lock is taken.

    Raises:
        RunError: another process, or this one, already holds the lock.
    """
    if sys.platform == "win32":
        path.touch()
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    _held.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                str(path.parent),
                found="a run in progress",
                expected="a directory that no other process is using",
                hint="Wait for that run or stop it, or choose another --output.",
            ) from None
        except OSError as error:
            from itnet_train.console import print_status  # it loads Lightning, which reading a run does not need

            print_status(f"{path}: cannot lock this directory against a second run: {error.strerror}")
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file; on Windows, and without the file, none does."""
    if sys.platform == "win32" or not path.is_file():
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def _release_in_child() -> None:
    """Close lock files in a forked child, so that a data-loading worker does not keep the lock of a dead run."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_release_in_child)
