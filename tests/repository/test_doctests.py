"""The examples in docstrings run as they stand."""

from __future__ import annotations

import doctest
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import itnet_core
from itnet_registry import default_registry

ROOT = Path(__file__).parents[2]
PACKAGES = [
    ROOT / "itnet_core",
    *(package for room in ("registry", "tasks", "plugins/*") for package in ROOT.glob(f"{room}/itnet_*")),
]


def modules() -> Iterator[str]:
    """Yield the names of modules with examples."""
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            if ">>> " in path.read_text():
                yield ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")


def public_objects() -> Iterator[tuple[str, Any]]:
    """Yield the classes and functions that packages export, and the classes of installed components, by their paths."""
    for package in PACKAGES:
        module = importlib.import_module(package.name)
        for name in getattr(module, "__all__", []):
            yield f"{package.name}.{name}", getattr(module, name)
    for component in default_registry().components():
        yield component.spec.target, component.load()


def test_public_objects_have_an_example() -> None:
    """Errors need none: nobody creates them but the library."""
    missing = [
        path
        for path, value in public_objects()
        if inspect.isfunction(value) or (inspect.isclass(value) and not issubclass(value, Exception))
        if ">>> " not in (value.__doc__ or "")
    ]
    assert missing == []


@pytest.mark.parametrize("name", list(modules()))
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of torch and of the core are known to every example."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    module = importlib.import_module(name)
    core = {export: getattr(itnet_core, export) for export in itnet_core.__all__}
    names = {"torch": torch, "nn": torch.nn, **core, **vars(module)}
    names.pop("annotations", None)  # examples run as in a console, without the module's __future__ import
    result = doctest.testmod(module, globs=names, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
