"""Fixtures: plugins installed as real distributions on disk, and a registry of them."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import itnet_core
from itnet_registry import Registry, Settings
from itnet_registry.api import _registry

VARIABLES = ("ITNET_PLUGINS", "ITNET_DISABLE", "ITNET_PREFER", "ITNET_STRICT")
COMPATIBLE = (f"itnet-core=={itnet_core.__version__}",)

HEADER = """
from itnet_core import Check, CommandSpec, ComponentSpec, PresetSpec
from itnet_core import hookimpl
"""

KERNEL = """
    @hookimpl
    def itnet_register_components(api):
        return [ComponentSpec(kind="kernel", name="{name}", target="{target}", summary="a kernel")]
"""

COMMAND = """
    @hookimpl
    def itnet_register_commands(api):
        return [CommandSpec(name="{name}", target="{target}", summary="{summary}")]
"""


class Garden:
    """A folder of installed distributions; discovery sees them and the core alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders = [root]
        self.planted: list[str] = []

    @staticmethod
    def package(name: str) -> str:
        """Return the package of a distribution; never one of the project, which may be imported already."""
        package = name.lower().replace("-", "_")
        return package.replace("itnet_", "planted_") if package != "itnet_toy" else package

    def plant(
        self,
        name: str,
        plugin: str = "",
        *,
        version: str = "1.0",
        requires: tuple[str, ...] = COMPATIBLE,
        modules: Mapping[str, str] | None = None,
        entry: str | None = None,
        folder: Path | None = None,
    ) -> None:
        """Install a distribution whose plugin module holds `plugin`, after the usual imports."""
        folder = self.root if folder is None else folder
        package = self.package(name)
        self.metadata(name, version, requires, f"[itnet.plugins]\n{entry or f'{package} = {package}.plugin'}\n", folder)
        home = folder / package
        home.mkdir(parents=True, exist_ok=True)
        (home / "__init__.py").touch()
        (home / "plugin.py").write_text(HEADER + dedent(plugin))
        for module, text in (modules or {}).items():
            (home / f"{module}.py").write_text(dedent(text))
        self.planted.append(package)
        importlib.invalidate_caches()

    def plant_kernel(
        self, name: str, kernel: str, target: str = "itnet_core.operator.mlp.kernel:MLPKernel", **more: Any
    ) -> None:
        """Install a distribution whose plugin declares one kernel."""
        self.plant(name, KERNEL.format(name=kernel, target=target), **more)

    def plant_command(self, name: str, command: str, module: str, summary: str = "") -> None:
        """Install a distribution whose plugin declares one command: the function `run` of a module of its own."""
        target = f"{self.package(name)}.parts:run"
        plugin = COMMAND.format(name=command, target=target, summary=summary)
        self.plant(name, plugin, modules={"parts": module})

    def metadata(
        self, name: str, version: str, requires: tuple[str, ...], entry_points: str, folder: Path | None = None
    ) -> Path:
        """Install a distribution's metadata alone."""
        info = (folder or self.root) / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {requirement}" for requirement in requires)]
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
        (info / "entry_points.txt").write_text(entry_points)
        return info

    def toy(self, version: str = "1.0") -> None:
        """Install `itnet-toy`, a small plugin with working components."""
        self.metadata("itnet-toy", version, COMPATIBLE, "[itnet.plugins]\ntoy = itnet_toy.plugin\n")
        shutil.copytree(Path(__file__).parent / "toy" / "itnet_toy", self.root / "itnet_toy", dirs_exist_ok=True)
        self.planted.append("itnet_toy")
        importlib.invalidate_caches()

    def uproot(self, name: str) -> None:
        """Remove a distribution."""
        for path in self.root.glob(f"{name.replace('-', '_')}-*.dist-info"):
            shutil.rmtree(path)
        shutil.rmtree(self.root / self.package(name), ignore_errors=True)
        self.forget()

    def forget(self) -> None:
        """Forget the planted modules, so that Python imports them again."""
        for module in list(sys.modules):
            if module.partition(".")[0] in self.planted:
                del sys.modules[module]
        importlib.invalidate_caches()
        _registry.cache_clear()

    def distributions(self) -> Iterator[Distribution]:
        yield from distributions(path=[str(folder) for folder in self.folders])
        yield distribution("itnet-core")

    def registry(self, *, prefer: tuple[str, ...] = (), **settings: Any) -> Registry:
        """Return a new registry of these plugins."""
        return Registry(prefer=prefer, settings=Settings(**settings))

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a Python of its own with the planted plugins and the core alone."""
        environment = {key: value for key, value in os.environ.items() if key not in VARIABLES}
        environment |= {"PYTHONPATH": str(self.root), "ITNET_PLUGINS": ",".join(self.planted) or "none", **variables}
        return subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def garden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Garden]:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    root = tmp_path / "site"
    root.mkdir()
    garden = Garden(root)
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setattr("itnet_registry.plugins.discovery.distributions", garden.distributions)
    _registry.cache_clear()
    yield garden
    garden.forget()


@pytest.fixture
def registry(garden: Garden) -> Registry:
    """Return a registry of the core and `itnet-toy`."""
    garden.toy()
    return garden.registry()
