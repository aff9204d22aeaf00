"""Importing what a declaration's target names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from itnet_core.plugin.printable import printable
from itnet_registry.discovery import Source
from itnet_registry.plugin_code import PATIENCE_WITH_TORCH, plugin_code


def import_target(target: str, source: Source) -> Any:
    """Return what `"package.module:name"` of a plugin names.

    Raises:
        BaseException: whatever the import raises; AttributeError if the module has no such name.
    """
    module, _, name = target.partition(":")
    with plugin_code(source, f"importing {module} of", PATIENCE_WITH_TORCH):
        return getattr(import_module(module), name)


def one_line(error: BaseException) -> str:
    """Return an exception's type and message, whatever it is, in printable characters."""
    try:
        message = str(error)
    except Exception:
        message = "its message cannot be told"
    return printable(" ".join(f"{type(error).__name__}: {message}".split())).rstrip(": ")
