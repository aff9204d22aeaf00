"""The files of a data set by names, patterns and addresses."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.request import urlopen

from itnet_core import DataError
from itnet_core.plugin.files import atomic_path

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
PLACES = "a path, or an address in http://, https:// or hf://datasets/"


def data_files(root: str, names: str | Sequence[str], *, download: bool = False) -> list[Path]:
    """Return the files that some names stand for, those of each name sorted.

    Example:
        >>> for number in range(3):
        ...     Path("birds").mkdir(exist_ok=True)
        ...     Path(f"birds/train-{number}.tar").touch()
        >>> [file.name for file in data_files("birds", "train-*.tar")]
        ['train-0.tar', 'train-1.tar', 'train-2.tar']
        >>> [file.name for file in data_files("birds", "train-{0..1}.tar")]
        ['train-0.tar', 'train-1.tar']
        >>> data_files("birds", "pipe:cat birds/train-0.tar")
        Traceback (most recent call last):
        itnet_core.plugin.errors.DataError: pipe:cat birds/train-0.tar: found an address in pipe:; expected a path, ...

    Args:
        root: the folder that relative names start from, and that files are downloaded into.
        names: names of files or folders, patterns (`train-*.tar`), ranges (`train-{000..146}.tar`), or addresses.
        download: whether files of addresses that are not in `root` are downloaded. Without it, there is no network.

    Raises:
        DataError: there is no such file, an address is of another kind, or a download failed.
    """
    folder = Path(root).expanduser()
    found = [file for name in ([names] if isinstance(names, str) else names) for file in _files(folder, name, download)]
    if not found:
        raise DataError(str(folder), found="no names of files", expected="at least one")
    return found


def _files(folder: Path, name: str, download: bool) -> list[Path]:
    if match := RANGE.search(name):
        first, last = match.groups()
        numbers = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
        parts = [name[: match.start()] + number + name[match.end() :] for number in numbers]
        return [file for part in parts for file in _files(folder, part, download)]
    if match := SCHEME.match(name):
        return [_fetched(folder, name, match[1].lower(), download)]
    if any(sign in name for sign in "*?["):
        pattern = PurePosixPath(name).relative_to("/") if name.startswith("/") else name
        found = sorted((Path("/") if name.startswith("/") else folder).glob(str(pattern)))
    else:
        found = [path] if (path := folder / Path(name).expanduser()).exists() else []
    if not found:
        hint = "Names are relative to root."
        raise DataError(str(folder / name), found="no such file", expected="a file or a pattern of some", hint=hint)
    return found


def _fetched(folder: Path, address: str, scheme: str, download: bool) -> Path:
    """Return the file of an address: in a folder, or for the hub in its cache. It is downloaded if it is missing."""
    if scheme not in ("http", "https", "hf"):  # such as pipe:, which would run a command
        raise DataError(address, found=f"an address in {scheme}:", expected=PLACES)
    path = folder / PurePosixPath(address.partition("?")[0]).name
    if scheme == "hf":
        with suppress(OSError):  # it is not in the cache
            return _of_hub(address, local_files_only=True)
    elif path.exists():
        return path
    if not download:
        found = "no such file in the cache" if scheme == "hf" else f"no file {path}"
        raise DataError(address, found=found, expected="it, or the network", hint="Set download: true to fetch it.")
    try:
        return _of_hub(address) if scheme == "hf" else _of_web(address, path)
    except DataError:
        raise
    except Exception as error:
        raise DataError(address, found=f"a download that failed ({error})", expected="a file") from error


def _of_web(address: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    token = str(os.getpid())  # several processes may fetch it
    with atomic_path(path, token) as partial, urlopen(address, timeout=60) as source, partial.open("wb") as file:
        shutil.copyfileobj(source, file)
    return path


def _of_hub(address: str, *, local_files_only: bool = False) -> Path:
    """Return the file of `hf://datasets/OWNER/NAME/FILE` or `hf://datasets/OWNER/NAME@REVISION/FILE`."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        hint = "Install it with: pip install huggingface_hub"
        raise DataError(address, found="no huggingface_hub", expected="it, for files of the hub", hint=hint) from None
    match = re.fullmatch(r"hf://datasets/([^/]+/[^/@]+)(?:@([^/]+))?/(.+)", address)
    if match is None:
        raise DataError(address, found="another form", expected="hf://datasets/OWNER/NAME/FILE")
    repository, revision, file = match.groups()
    found = hf_hub_download(repository, file, repo_type="dataset", revision=revision, local_files_only=local_files_only)
    return Path(found)
