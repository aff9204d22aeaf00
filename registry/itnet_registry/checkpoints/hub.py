"""Checkpoints on the hub, by huggingface_hub, which is imported when a checkpoint of the hub is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from itnet_registry.checkpoints.files import CARD, MANIFEST, WEIGHTS
from itnet_registry.errors import CheckpointError, one_line
from itnet_registry.plugins.requirements import pip_install

FILES = (CARD, MANIFEST, WEIGHTS)
"""The files that are uploaded and downloaded; no others."""

_ADDRESS = re.compile(r"hf:/{1,2}([^/@]+/[^/@]+)(?:@(.+))?")  # pathlib makes one slash of two


def is_of_hub(address: str) -> bool:
    """Whether an address is one of the hub, `hf://owner/name`."""
    return address.startswith("hf:/")


def from_address(address: str, *, download: bool) -> Path:
    """Return the folder of `hf://owner/name` or `hf://owner/name@revision`; see `from_hub`."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        expected = "hf://owner/name, or hf://owner/name@revision"
        raise CheckpointError(address, found="no name on the hub", expected=expected)
    return from_hub(match[1], match[2], download=download)


def from_hub(name: str, revision: str | None = None, *, download: bool = True) -> Path:
    """Return the folder of a checkpoint of the hub in the hub's cache, downloading what the cache lacks.

    Only the card, the manifest and the weights are downloaded. If the hub cannot be reached, a cached copy is used.

    Example:
        >>> from itnet_registry import from_hub
        >>> from_hub("acme/digits", download=False)
        Traceback (most recent call last):
        itnet_registry.errors.CheckpointError: hf://acme/digits: found no copy of it in the hub's cache; ...

    Args:
        name: `owner/name`.
        revision: a branch, tag or commit; by default the branch `main`.
        download: whether to use the network. Without it, only a cached copy is used.

    Raises:
        CheckpointError: there is no such checkpoint, it cannot be downloaded, or huggingface_hub is not installed.
    """
    address = f"hf://{name}" + (f"@{revision}" if revision else "")
    hub = _library(address)
    try:
        folder = hub.snapshot_download(name, revision=revision, allow_patterns=FILES, local_files_only=not download)
    except Exception as error:  # of the library and its HTTP client, of many types
        if download:
            found, expected = f"a download that failed ({one_line(error)})", "a checkpoint on the hub"
            raise CheckpointError(address, found=found, expected=expected) from error
        raise CheckpointError(
            address,
            found="no copy of it in the hub's cache",
            expected="one that was downloaded",
            hint="Allow the download: --download for a command, download=True in Python, download: true in train.init.",
        ) from error
    return Path(folder)


def upload(folder: Path, name: str, *, private: bool = False, message: str = "Upload a checkpoint of ITNet") -> str:
    """Upload the card, the manifest and the weights in a folder as one commit, and return the commit's address.

    The repository is created if it is missing.

    Raises:
        CheckpointError: the upload fails, or huggingface_hub is not installed.
    """
    address = f"hf://{name}"
    hub = _library(address)
    try:
        hub.create_repo(name, private=private, exist_ok=True)
        operations = [hub.CommitOperationAdd(file, folder / file) for file in FILES]
        return str(hub.create_commit(name, operations, commit_message=message).commit_url)
    except Exception as error:  # of the library and its HTTP client, of many types
        raise CheckpointError(
            address,
            found=f"an upload that failed ({one_line(error)})",
            expected="a repository that you may write to",
            hint="Log in with `hf auth login`, or set HF_TOKEN.",
        ) from error


def _library(address: str) -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        hint = f"Install it: {pip_install(['itnet-registry[hub]'])}"
        raise CheckpointError(address, found=f"no {error.name}", expected="huggingface-hub", hint=hint) from None
    return huggingface_hub
