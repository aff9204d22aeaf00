"""Saving and loading of models, without pickle and without network."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model as load_weights
from safetensors.torch import save_model as save_weights

import itnet_core
from itnet_core import ComponentRef, ITNetModel
from itnet_core.plugin.config import inner_references
from itnet_core.plugin.files import partial_path, previous_path, sync_file
from itnet_core.plugin.specs import Kind
from itnet_registry.build.builder import build, config_of
from itnet_registry.build.memory import MemoryLimit, machine_bytes
from itnet_registry.checkpoints.addresses import locate
from itnet_registry.checkpoints.agreement import check_agreement
from itnet_registry.checkpoints.compatibility import migrated_config
from itnet_registry.checkpoints.exchange import replace_directory
from itnet_registry.checkpoints.files import MANIFEST, WEIGHTS
from itnet_registry.checkpoints.installed import hint_for
from itnet_registry.checkpoints.manifest import FORMAT, Manifest, Record, references
from itnet_registry.config.model_config import CompleteModelConfig
from itnet_registry.errors import CheckpointError, checkpoint_errors
from itnet_registry.plugins.registry import PluginRegistry

TIMES, SPARE = 8, 2**28
"""A loaded model may take `TIMES` times the bytes of its weights, which may be of a shorter type, and `SPARE` bytes
more for tensors that are not stored, so that a checkpoint cannot take an arbitrary amount of memory."""

_CHANGED_PLUGIN = f"a plugin changed its modules but not its config_version; install the versions in {MANIFEST}."


def save_model(registry: PluginRegistry, model: ITNetModel, path: str | PathLike[str]) -> None:
    """Write a checkpoint; see `itnet_registry.Registry.save_model`."""
    path = Path(path).resolve()
    _check_replaceable(path)
    with checkpoint_errors():
        config = config_of(model)
        check_agreement(registry, model, config)
        records = records_of(registry, config)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = partial_path(path, uuid.uuid4().hex[:8])
    part.mkdir()
    try:
        try:
            save_weights(model, str(part / WEIGHTS), metadata={"format": "pt"})
        except (RuntimeError, ValueError, SafetensorError) as error:
            raise CheckpointError(
                f"{path}/{WEIGHTS}", found=str(error), expected="weights that safetensors can store"
            ) from error
        manifest = Manifest(
            format=FORMAT, api=itnet_core.API, config=config, components=records, sha256=_sha256(part / WEIGHTS)
        )
        try:
            manifest.write(part / MANIFEST)
        except ValueError as error:
            raise CheckpointError(f"{path}/{MANIFEST}", found=str(error), expected="JSON-native options") from error
        # safetensors makes its file readable for the owner alone; the weights get the permissions of the manifest.
        (part / WEIGHTS).chmod((part / MANIFEST).stat().st_mode)
        for name in (WEIGHTS, MANIFEST):
            sync_file(part / name)
        replace_directory(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def load_model(registry: PluginRegistry, path: str | PathLike[str], *, download: bool = False) -> ITNetModel:
    """Read a checkpoint; see `itnet_registry.Registry.load_model`."""
    path = locate(path, download=download)
    for name in (MANIFEST, WEIGHTS):
        if not (path / name).is_file():
            raise _missing(path, name)
    manifest = Manifest.read(path / MANIFEST)
    config = migrated_config(registry, manifest, str(path))
    weights = path / WEIGHTS
    check_hash(weights, manifest)
    limit = min(machine_bytes(), SPARE + TIMES * weights.stat().st_size)
    with checkpoint_errors(hint=f"{MANIFEST} was changed after it was saved, or {_CHANGED_PLUGIN}"):
        model = build(registry, config, f"{path}: config", MemoryLimit(limit, f"for the size of its {WEIGHTS}"))
    try:
        _take_dtypes(model, weights)
        load_weights(model, weights, strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            str(weights),
            found=str(error),
            expected="the weights of the model that its config describes",
            hint=f"Perhaps {_CHANGED_PLUGIN}",
        ) from error
    return model.eval()


def records_of(registry: PluginRegistry, config: CompleteModelConfig) -> dict[str, Record]:
    """Return the origin of each component of a model by its path, components that others refer to included.

    Raises:
        UnknownNameError: a component is not installed.
    """
    return dict(record for reference in references(config) for record in _records(registry, *reference))


def check_hash(weights: Path, manifest: Manifest) -> None:
    """Check that a file of weights is the one that was saved.

    Raises:
        CheckpointError: its hash is not that of the manifest.
    """
    sha256 = _sha256(weights)
    if sha256 != manifest.sha256:
        raise CheckpointError(
            str(weights),
            found=f"sha256 {sha256[:12]}…",
            expected=f"{manifest.sha256[:12]}…, as in {MANIFEST}",
            hint="The file is truncated or was changed; take it from a copy.",
        )


def _records(registry: PluginRegistry, path: str, kind: Kind, reference: ComponentRef) -> Iterator[tuple[str, Record]]:
    """Yield the paths and records of a component and of those that it refers to."""
    component = registry.component(kind, reference.name, place=f"model.{path}")
    yield (
        path,
        Record(
            kind=kind,
            name=component.id,
            distribution=component.source.distribution,
            version=component.source.version,
            config_version=component.spec.config_version,
        ),
    )
    for field, refers, inner in inner_references(component.load().Config, reference.options):
        yield from _records(registry, f"{path}.{field}", refers.kind, inner)


def _check_replaceable(path: Path) -> None:
    if path.is_dir():
        try:
            others = sorted(file.name for file in path.iterdir() if file.name not in (MANIFEST, WEIGHTS))
        except FileNotFoundError:  # another thread is replacing it
            return
        if not others:
            return
        content = f"a directory that holds {', '.join(others[:3])}"
    elif path.exists():
        content = "a file"
    else:
        return
    raise CheckpointError(str(path), found=content, expected="a new path, or a checkpoint to replace")


def _missing(path: Path, name: str) -> CheckpointError:
    content = f"no {name} in it" if path.is_dir() else "a file" if path.exists() else "nothing"
    previous = previous_path(path.resolve())
    hint = ""
    if content == "nothing" and previous.is_dir():
        hint = f"A save was cut off; rename {previous} to get the last checkpoint back."
    elif (path / "best" / MANIFEST).is_file():
        hint = f"Did you mean {path / 'best'}, the best checkpoint of this run?"
    elif content == "nothing":
        hint = hint_for(path.as_posix())
    return CheckpointError(str(path), found=content, expected=f"a directory with {MANIFEST} and {WEIGHTS}", hint=hint)


def _take_dtypes(model: ITNetModel, weights: Path) -> None:
    """Convert the model's tensors to the types of the stored ones; tied tensors stay tied."""
    state: dict[str, Any] = model.state_dict(keep_vars=True)
    with safe_open(weights, framework="pt") as file:
        for name in set(file.keys()) & state.keys():
            state[name].data = state[name].data.to(file.get_tensor(name).dtype)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
