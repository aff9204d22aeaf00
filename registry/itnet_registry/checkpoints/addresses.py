"""Addresses of checkpoints: folders, models of installed distributions, and models on the hub."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path, PurePosixPath

from itnet_registry.checkpoints.hub import from_address, is_of_hub
from itnet_registry.checkpoints.installed import installed_model


def locate(address: str | PathLike[str], *, download: bool = False) -> Path:
    """Return the folder or the file that an address of a checkpoint stands for.

    Example:
        >>> Path("runs/digits/best").mkdir(parents=True)
        >>> locate("runs/digits/best").as_posix()
        'runs/digits/best'

    Args:
        address: a path; or, if nothing is there, the name of an installed model (`zoo/fashion`); or one on the hub,
            `hf://owner/name` or `hf://owner/name@revision`, in the hub's cache.
        download: whether a checkpoint of the hub may be downloaded.

    Returns:
        A path, which may not exist if the address is one.

    Raises:
        CheckpointError: a checkpoint of the hub is not in the cache, or cannot be downloaded.
        AmbiguousNameError: two distributions bring a checkpoint of this name.
    """
    text = os.fspath(address)
    if is_of_hub(text):
        return from_address(text, download=download)
    path = Path(text)
    model = None if path.exists() else installed_model(path.as_posix())
    return path if model is None else model.path


def path_beside(address: str) -> Path:
    """Return the path next to which a command writes: a checkpoint's own, or its name in the working directory.

    Example:
        >>> path_beside("hf://acme/digits@main").as_posix()
        'digits'
    """
    path = Path(address)
    return path if path.exists() else Path(PurePosixPath(address.partition("@")[0]).name)
