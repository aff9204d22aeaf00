"""Execution of plugin code: one thread at a time, prints on stderr, and a notice if it does not return."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from threading import RLock, Timer

from itnet_registry.plugins.discovery import Source

LOADING = RLock()
"""Held while plugins are discovered, imported and called, so that one thread at a time changes `sys.modules`,
`sys.stdout` and the state of registries. One lock for all registries of the process, as the modules are shared too."""

PATIENCE = 10.0
"""Seconds before the notice for a plugin's import-light module."""

PATIENCE_WITH_TORCH = 60.0
"""Seconds before the notice for code that may be the first to import torch: components, and hooks called later."""


@contextmanager
def plugin_code(source: Source, doing: str, patience: float | None = None) -> Iterator[None]:
    """Run plugin code in the block: its prints go to stderr, and no other thread runs plugin code.

    If the block has not returned after `patience` seconds, or is interrupted, a line on stderr names the plugin and the
    variable that disables it.

    Args:
        source: the plugin.
        doing: the action for the message, such as `"importing"`.
        patience: seconds before the notice; `PATIENCE` by default.
    """
    patience = PATIENCE if patience is None else patience
    action = f"{doing} {source.title} ({source.module})"
    late = Timer(patience, _notify, (f"{action} has not returned after {patience:g} s", source))
    late.daemon = True
    with LOADING, redirect_stdout(sys.stderr):
        late.start()
        try:
            yield
        except KeyboardInterrupt:
            _notify(f"interrupted while {action}", source)
            raise
        finally:
            late.cancel()


def _notify(event: str, source: Source) -> None:
    if sys.stderr is not None:
        line = f"itnet: {event}; ITNET_DISABLE={source.distribution} goes on without it\n"
        sys.stderr.write(line)  # in one piece, whatever else is written
        sys.stderr.flush()
