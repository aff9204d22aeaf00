"""A lock on a file, which ends with the process that holds it, however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from itnet_train.console import say
from itnet_train.errors import RunError

if sys.platform != "win32":
    import fcntl

_held: set[int] = set()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file, which is made if it is not there and never removed.

    On a file system that has no locks, say so and go on without; on Windows, there is none.

    Raises:
        RunError: another process holds it, or this one does already.
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
                found="a run that is being written to now",
                expected="a directory that no other process uses",
                hint="Wait for it or end it, or give another --output.",
            ) from None
        except OSError as error:
            say(f"{path}: nothing keeps a second run away from this directory: {error.strerror}")
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _let_go() -> None:
    """Close the locks' files in a forked child, so that a worker that loads data keeps no dead run's lock."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_let_go)
