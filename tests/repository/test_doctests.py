"""The examples in docstrings run as they stand."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import itnet_core

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


@pytest.mark.parametrize("name", list(modules()))
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of torch and of the core are known to every example."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    module = importlib.import_module(name)
    core = {export: getattr(itnet_core, export) for export in itnet_core.__all__}
    names = {"torch": torch, "nn": torch.nn, **core, **vars(module)}
    result = doctest.testmod(module, globs=names, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
