"""The place in a plugin's code that an author should look at."""

from __future__ import annotations

import inspect
import sys
from traceback import extract_tb
from typing import Any

NOT_ITS_OWN = ("itnet_core", "itnet_registry", "importlib")
"""Packages whose frames in a traceback are not the plugin's."""


def line_of(error: BaseException, module: str) -> str:
    """Return `file:line` of the last frame of a plugin's package in a traceback, or the file of a module of it.

    Args:
        error: what its code raised.
        module: a module of the plugin, such as that of its entry point.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{error.filename}:{error.lineno}"
    package = module.partition(".")[0]
    for frame in reversed(extract_tb(error.__traceback__)):
        folders = frame.filename.replace("\\", "/").removesuffix(".py").split("/")
        if package in folders and package not in NOT_ITS_OWN:
            return f"{frame.filename}:{frame.lineno}"
    return file_of(module)


def file_of(module: str) -> str:
    """Return the file of an imported module, or its name."""
    return str(getattr(sys.modules.get(module), "__file__", None) or module)


def definition_of(target: Any, module: str) -> str:
    """Return `file:line` of a class or function, or the file of a module."""
    try:
        return f"{inspect.getsourcefile(target)}:{inspect.getsourcelines(target)[1]}"
    except (TypeError, OSError):
        return file_of(module)
