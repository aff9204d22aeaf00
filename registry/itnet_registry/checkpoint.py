"""Checkpoints: a directory of `model.safetensors` and `itnet.json`. No pickle, no network."""

from __future__ import annotations

import hashlib
import os
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
from itnet_core import ComponentRef, ConfigError, ITNetModel
from itnet_core.plugin.config import referring, restoring_checkpoint
from itnet_core.plugin.specs import Kind
from itnet_registry.agreement import check_agreement
from itnet_registry.assemble import build, config_of
from itnet_registry.compatibility import present_config
from itnet_registry.errors import CheckpointError
from itnet_registry.exchange import aside, put
from itnet_registry.manifest import FORMAT, MANIFEST, WEIGHTS, Manifest, Record, references
from itnet_registry.memory import MemoryLimit, machine_bytes
from itnet_registry.model_config import CompleteModelConfig
from itnet_registry.registry import Registry

TIMES, SPARE = 8, 2**28
"""A model may take this many times the bytes of its weights, which may be of a shorter type, and this much more, for
what it does not store: a checkpoint does not decide how much memory is taken."""


def save_model(registry: Registry, model: ITNetModel, path: str | PathLike[str]) -> None:
    """Write a model's weights and configuration as the directory `path`.

    It is written beside `path` under a temporary name and then put in place; see `itnet_registry.exchange.put`.

    Raises:
        CheckpointError: the model was not assembled from a configuration, or is no longer what that says; its weights
            cannot be stored; or `path` is something other than a checkpoint.
        UnknownNameError: one of its components is no longer there.
    """
    path = Path(path).resolve()
    _check_replaceable(path)
    config = _config_of(model)
    check_agreement(registry, model, config)
    records = records_of(registry, config)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    written.mkdir()
    try:
        try:
            save_weights(model, str(written / WEIGHTS), metadata={"format": "pt"})
        except (RuntimeError, ValueError, SafetensorError) as error:
            raise CheckpointError(
                f"{path}/{WEIGHTS}", found=str(error), expected="weights that safetensors can store"
            ) from error
        manifest = Manifest(
            format=FORMAT, api=itnet_core.API, config=config, components=records, sha256=_sha256(written / WEIGHTS)
        )
        try:
            manifest.write(written / MANIFEST)
        except ValueError as error:
            raise CheckpointError(f"{path}/{MANIFEST}", found=str(error), expected="JSON-native options") from error
        # safetensors makes its file readable for the owner alone; who may read the one may read the other.
        (written / WEIGHTS).chmod((written / MANIFEST).stat().st_mode)
        for name in (WEIGHTS, MANIFEST):
            _to_disk(written / name)
        put(written, path)
    finally:
        shutil.rmtree(written, ignore_errors=True)


def load_model(registry: Registry, path: str | PathLike[str]) -> ITNetModel:
    """Return the model of the checkpoint `path`, on the CPU and in evaluation mode, bit by bit as it was saved.

    It opens no other file: what the configuration names is not read.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or of an unknown format; or plugins are missing, too old or
            incompatible: all of them are named at once, with one pip command.
    """
    path = Path(path)
    for name in (MANIFEST, WEIGHTS):
        if not (path / name).is_file():
            raise _missing(path, name)
    manifest = Manifest.read(path / MANIFEST)
    with restoring_checkpoint():
        config = present_config(registry, manifest, str(path))
    weights = path / WEIGHTS
    found = _sha256(weights)
    if found != manifest.sha256:
        raise CheckpointError(
            str(weights),
            found=f"sha256 {found[:12]}…",
            expected=f"{manifest.sha256[:12]}…, as in {MANIFEST}",
            hint="The file is truncated or was changed; take it from a copy.",
        )
    limit = min(machine_bytes(), SPARE + TIMES * weights.stat().st_size)
    with restoring_checkpoint():
        model = build(registry, config, f"{path}: config", MemoryLimit(limit, f"for the {WEIGHTS} beside it"))
    try:
        _take_dtypes(model, weights)
        load_weights(model, weights, strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            str(weights),
            found=str(error),
            expected="the weights of the model that its config describes",
            hint="A plugin changed its modules but not its config_version; install the versions in itnet.json.",
        ) from error
    return model.eval()


def records_of(registry: Registry, config: CompleteModelConfig) -> dict[str, Record]:
    """Return where each component of a model comes from, by its path, those that others refer to among them.

    Raises:
        UnknownNameError: one of them is not installed.
    """
    return dict(each for part in references(config) for each in _records(registry, *part))


def _records(registry: Registry, where: str, kind: Kind, reference: ComponentRef) -> Iterator[tuple[str, Record]]:
    """Yield the records of a component and of those that it refers to, by their paths."""
    component = registry.component(kind, reference.name, place=f"model.{where}")
    yield (
        where,
        Record(
            kind=kind,
            name=component.id,
            distribution=component.source.distribution,
            version=component.source.version,
            config_version=component.spec.config_version,
        ),
    )
    for field, refers in referring(component.load().Config).items():
        inner = ComponentRef(**reference.options[field])
        yield from _records(registry, f"{where}.{field}", refers.kind, inner)


def _config_of(model: ITNetModel) -> CompleteModelConfig:
    try:
        return config_of(model)
    except ConfigError as error:
        raise CheckpointError(error.place, found=error.found, expected=error.expected, hint=error.hint) from error


def _check_replaceable(path: Path) -> None:
    if path.is_dir():
        try:
            others = sorted(each.name for each in path.iterdir() if each.name not in (MANIFEST, WEIGHTS))
        except FileNotFoundError:  # another thread is replacing it
            return
        if not others:
            return
        found = f"a directory that holds {', '.join(others[:3])}"
    elif path.exists():
        found = "a file"
    else:
        return
    raise CheckpointError(str(path), found=found, expected="a new path, or a checkpoint to replace")


def _missing(path: Path, name: str) -> CheckpointError:
    found = f"no {name} in it" if path.is_dir() else "a file" if path.exists() else "nothing"
    previous = aside(path.resolve())
    saved = found == "nothing" and previous.is_dir()
    return CheckpointError(
        str(path),
        found=found,
        expected=f"a directory with {MANIFEST} and {WEIGHTS}",
        hint=f"A save was cut off; rename {previous} to get the last checkpoint back." if saved else "",
    )


def _take_dtypes(model: ITNetModel, weights: Path) -> None:
    """Give the model's tensors the types of the stored ones; tied tensors stay tied."""
    state: dict[str, Any] = model.state_dict(keep_vars=True)
    with safe_open(weights, framework="pt") as file:
        for name in set(file.keys()) & state.keys():
            state[name].data = state[name].data.to(file.get_tensor(name).dtype)


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
