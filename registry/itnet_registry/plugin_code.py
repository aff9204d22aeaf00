"""Running a plugin's own code: one thread at a time, its prints on stderr, and named where it does not return."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from threading import RLock, Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from itnet_registry.discovery import Source

LOADING = RLock()
"""Held while plugins are found, imported and asked: their modules, `sys.stdout` and what registries know of them are
changed by one thread at a time. One for all registries of the process, as the modules and `sys.stdout` are."""

PATIENCE = 10.0
"""Seconds after which a plugin that has not returned is named: its module imports little."""

PATIENCE_WITH_TORCH = 60.0
"""The same of what may be the first to import torch: its components, and its hooks that are called later."""


@contextmanager
def plugin_code(source: Source, doing: str, patience: float | None = None) -> Iterator[None]:
    """Run a plugin's code inside: what it prints goes to stderr, and no other thread runs any plugin's.

    If it has not returned after a while, or is interrupted, a line on stderr says which plugin it is, and the variable
    that leaves it out.

    Args:
        source: the plugin.
        doing: what is done with it, such as `"importing"`.
        patience: seconds after which it is named; `PATIENCE` by default.
    """
    patience = PATIENCE if patience is None else patience
    what = f"{doing} {source.title} ({source.module})"
    late = Timer(patience, _say, (f"{what} has not returned after {patience:g} s", source))
    late.daemon = True
    with LOADING, redirect_stdout(sys.stderr):
        late.start()
        try:
            yield
        except KeyboardInterrupt:
            _say(f"interrupted while {what}", source)
            raise
        finally:
            late.cancel()


def _say(what: str, source: Source) -> None:
    if sys.stderr is not None:
        line = f"itnet: {what}; ITNET_DISABLE={source.distribution} goes on without it\n"
        sys.stderr.write(line)  # in one piece, whatever else is written
        sys.stderr.flush()
