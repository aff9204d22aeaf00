"""Run the command `itnet` as a process of its own: the script `itnet`, and `python -m itnet_registry`."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress

from itnet_registry.cli.app import main


def run() -> None:
    """Run the command, and leave the process after all exit functions: to unload torch takes 0.4 s and 120 MB."""
    code: object = None

    def leave() -> None:
        if isinstance(code, int):  # otherwise Python has something to print
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError):
                    stream.flush()
            os._exit(code)

    atexit.register(leave)  # what is registered first runs last
    try:
        main()
    except SystemExit as end:
        code = end.code
        raise


if __name__ == "__main__":
    run()
