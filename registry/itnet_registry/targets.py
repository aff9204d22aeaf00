"""Importing what a declaration's target names."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

from itnet_core.printable import printable


def import_target(target: str) -> Any:
    """Return what `"package.module:name"` names. What its import prints goes to stderr.

    Raises:
        BaseException: whatever the import raises; AttributeError if the module has no such name.
    """
    module, _, name = target.partition(":")
    with redirect_stdout(sys.stderr):
        return getattr(import_module(module), name)


def one_line(error: BaseException) -> str:
    """Return an exception's type and message, whatever it is, in printable characters."""
    try:
        message = str(error)
    except Exception:
        message = "its message cannot be told"
    return printable(" ".join(f"{type(error).__name__}: {message}".split())).rstrip(": ")
