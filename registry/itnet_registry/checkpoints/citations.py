"""The citations of a run: of ITNet, and of the components and commands that the run used."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from itnet_core.plugin.specs import KINDS
from itnet_registry.checkpoints.addresses import locate
from itnet_registry.checkpoints.files import MANIFEST
from itnet_registry.checkpoints.manifest import Manifest
from itnet_registry.config.files import load_config
from itnet_registry.errors import CheckpointError
from itnet_registry.plugins.citations import cited
from itnet_registry.plugins.declarations import Declared
from itnet_registry.plugins.registry import PluginRegistry

ALWAYS = ("dhor2026itnet", "paszke2019pytorch")
"""Entries of the core: the paper, and PyTorch."""

CONFIG = "config.yaml"


def citations(registry: PluginRegistry, path: str | PathLike[str]) -> dict[str, str]:
    """Return BibTeX entries by key; see `Registry.citations`."""
    [core] = registry.plugins("itnet-core")
    found = cited(core.source, ALWAYS)
    for declared in _used(registry, locate(path)):
        for key, entry in cited(declared.source, declared.spec.citations).items():
            if found.get(key, entry).split() != entry.split():  # another work, of the key of one before it
                renamed = f"{key}-{declared.source.distribution}"
                key, entry = renamed, entry.replace(key, renamed, 1)
            found.setdefault(key, entry)
    return found


def _used(registry: PluginRegistry, path: Path) -> Iterator[Declared[Any]]:
    """Yield the components of a checkpoint, or those of a run's checkpoints and the commands of its sections."""
    manifests = [path / MANIFEST] if (path / MANIFEST).is_file() else sorted(path.glob(f"*/{MANIFEST}"))
    if not manifests:
        raise CheckpointError(
            str(path), found=f"no {MANIFEST} in it, nor in a folder of it", expected="a run directory or a checkpoint"
        )
    used = {(record.kind, record.name) for file in manifests for record in Manifest.read(file).components.values()}
    for kind, name in sorted(used, key=lambda item: (KINDS.index(item[0]), item[1])):
        yield registry.component(kind, name)
    if (path / CONFIG).is_file():
        sections = load_config(path / CONFIG)
        yield from (command for command in registry.commands() if command.spec.sections.keys() & sections.keys())
