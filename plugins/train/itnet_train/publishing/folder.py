"""The folder that is published: weights, manifest and card of a run's best checkpoint, and nothing else."""

from __future__ import annotations

import shutil
import uuid
from math import prod
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import safe_open

from itnet_core.plugin.files import partial_path
from itnet_registry import CheckpointError, citations
from itnet_registry.checkpoints.addresses import locate
from itnet_registry.checkpoints.checkpoint import check_hash
from itnet_registry.checkpoints.exchange import replace_directory
from itnet_registry.checkpoints.files import CARD, MANIFEST, WEIGHTS
from itnet_registry.checkpoints.hub import FILES, upload
from itnet_registry.checkpoints.manifest import Manifest, reference_at
from itnet_registry.errors import os_errors_as
from itnet_train.publishing.card import CardFacts, model_card, without_folders
from itnet_train.storage.directory import RunDirectory
from itnet_train.storage.record import RunRecord


def save_pretrained(
    run: str | PathLike[str], folder: str | PathLike[str], *, address: str = "", facts: CardFacts | None = None
) -> Path:
    """Write a run's best checkpoint with a model card, as it is published on the hub.

    The folder has `model.safetensors`, `itnet.json` and `README.md`. Neither names a folder of this machine: of paths
    among the options of components, the last name is left.

    Example:
        >>> from itnet_registry import create_model, save_model
        >>> encoder = {"name": "patch", "patch_size": 2}
        >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), "digits")
        >>> folder = save_pretrained("digits", "published", facts=CardFacts(license="mit", data="digits"))
        >>> sorted(file.name for file in folder.iterdir())
        ['README.md', 'itnet.json', 'model.safetensors']

    Args:
        run: a run directory; or a checkpoint, whose card has results only if it is `best` of a run.
        folder: a new folder, or one that this function wrote, which is replaced.
        address: where the card says that the model is; by default the folder's name.
        facts: what the run does not know, such as licences.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or the folder holds other files or cannot be written.
        UnknownNameError: a component is not installed.
    """
    path, folder = locate(run), Path(folder).resolve()
    directory = RunDirectory(path.parent if path.name == "best" and RunDirectory(path.parent).is_run else path)
    checkpoint = directory.best if directory.is_run else path
    with os_errors_as(CheckpointError, folder):
        _check_folder(folder)
        manifest = _read(checkpoint)
        record = RunRecord.read(directory.path) if directory.is_run else None
        parameters = (record.metrics.get("parameters") if record else None) or _count(checkpoint / WEIGHTS)
        bibtex = citations(directory.path if record else checkpoint)
        card = model_card(address or folder.name, manifest, parameters, bibtex, record, facts)
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = partial_path(folder, uuid.uuid4().hex[:8])
        part.mkdir()
        try:
            shutil.copyfile(checkpoint / WEIGHTS, part / WEIGHTS)
            _portable(manifest).write(part / MANIFEST)
            (part / CARD).write_text(card, encoding="utf-8")
            replace_directory(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def push_to_hub(run: str | PathLike[str], name: str, *, private: bool = False, facts: CardFacts | None = None) -> str:
    """Upload a run's best checkpoint with a model card to the hub, and return the address of the commit.

    Uploads what `save_pretrained` writes, in one commit, by huggingface_hub (`pip install 'itnet-registry[hub]'`).

    Example:
        >>> push_to_hub("runs/digits", "acme/digits", facts=CardFacts(license="mit"))
        Traceback (most recent call last):
        itnet_registry.errors.CheckpointError: runs/digits: found nothing; ...

    Args:
        run: as for `save_pretrained`.
        name: `owner/name`; the repository is created if it is missing.
        private: whether a new repository is private.
        facts: what the run does not know, such as licences.

    Raises:
        CheckpointError: as for `save_pretrained`, or the upload fails.
    """
    with TemporaryDirectory() as folder:
        written = save_pretrained(run, Path(folder, "model"), address=f"hf://{name}", facts=facts)
        return upload(written, name, private=private)


def _read(checkpoint: Path) -> Manifest:
    """Return the manifest of a checkpoint whose weights are those that were saved."""
    for name in (MANIFEST, WEIGHTS):
        if not (checkpoint / name).is_file():
            found = f"no {name} in it" if checkpoint.is_dir() else "nothing"
            expected = "a run directory with a checkpoint best, or a checkpoint"
            raise CheckpointError(str(checkpoint), found=found, expected=expected)
    manifest = Manifest.read(checkpoint / MANIFEST)
    check_hash(checkpoint / WEIGHTS, manifest)
    return manifest


def _check_folder(folder: Path) -> None:
    others = sorted(file.name for file in folder.iterdir() if file.name not in FILES) if folder.is_dir() else []
    if others or folder.is_file():
        found = f"a directory that holds {', '.join(others[:3])}" if others else "a file"
        raise CheckpointError(str(folder), found=found, expected="a new folder, or a published one to replace")


def _portable(manifest: Manifest) -> Manifest:
    """Return a manifest whose components' options name no folder of this machine."""
    data: dict[str, Any] = manifest.model_dump()
    for path in manifest.components:
        for reference in filter(None, [reference_at(data["config"], path)]):
            reference |= {key: without_folders(value) for key, value in reference.items() if key != "name"}
    return Manifest.model_validate(data)


def _count(weights: Path) -> int:
    with safe_open(weights, framework="pt") as file:
        return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
