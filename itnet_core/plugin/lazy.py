"""Lazy exports of a package (PEP 562), so that importing it does not import torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(package: str, homes: Mapping[str, str]) -> tuple[list[str], Callable[[str], Any]]:
    """Return `__all__` and `__getattr__` of a package whose names are imported on first use.

    Example:
        >>> # In the package's __init__.py, after the same imports under `if TYPE_CHECKING:`
        >>> __all__, __getattr__ = lazy_exports("itnet_core.plugin", {"itnet_core.plugin.errors": "ITNetError"})
        >>> __getattr__("ITNetError")
        <class 'itnet_core.plugin.errors.ITNetError'>

    Args:
        package: the package's `__name__`.
        homes: the exported names by the module that defines them, separated by spaces.
    """
    module_of = {name: module for module, names in homes.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module_of[name]), name)

    vars(sys.modules[package]).setdefault("__dir__", lambda: sorted({*vars(sys.modules[package]), *module_of}))
    return sorted(module_of), get
