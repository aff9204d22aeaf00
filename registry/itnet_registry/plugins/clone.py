"""The clone that the registry was installed from, where the project's other distributions are folders.

A hint that names `itnet-image` must work there too: until a distribution is published, no index has it.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.specifiers import SpecifierSet

_OURS = re.compile(r"itnet-(?P<name>[a-z-]+)(?P<extras>\[[a-z,-]+\])?(?P<versions>[<>=!~][0-9a-z<>=!~,. ]*)?")


@cache
def clone_root() -> Path | None:
    """Return the root of the clone, or `None` if the registry was installed from an index or a wheel."""
    try:
        origin = json.loads(distribution("itnet-registry").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    url = urlsplit(str(origin.get("url", "")))
    root = Path(url2pathname(url.path)).parent
    return root if url.scheme == "file" and (root / "plugins").is_dir() else None


def installable(requirements: Iterable[str]) -> list[str]:
    """Return requirements with folders of the clone in place of the project's distributions, if there is a clone.

    The folders of what they need, and what is not installed, come with them. A requirement on a version that the clone
    does not have stays.
    """
    root, found, waiting = clone_root(), list[str](), list(requirements)
    for requirement in waiting:
        match = _OURS.fullmatch(requirement)
        folder = None if root is None or match is None else _folder(root, match["name"])
        if folder is None or match is None:
            found.append(requirement)
            continue
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        if not SpecifierSet(match["versions"] or "").contains(project["version"], prereleases=True):
            found.append(requirement)
            continue
        found.append(f"{_shown(folder)}{match['extras'] or ''}")
        names = [
            f"itnet-{own['name']}{own['extras'] or ''}" for own in map(_OURS.match, project["dependencies"]) if own
        ]
        waiting += [name for name in names if name not in waiting and not _is_installed(name.partition("[")[0])]
    return sorted(set(found))


def _folder(root: Path, name: str) -> Path | None:
    folders = (root / "plugins" / name.replace("-", "_"), root / name, *([root] if name == "core" else []))
    return next((folder for folder in folders if (folder / "pyproject.toml").is_file()), None)


def _shown(folder: Path) -> str:
    """Return a path from the working directory if the folder is below it, else the whole path."""
    try:
        return f".{os.sep}{folder.relative_to(Path.cwd())}"
    except (ValueError, OSError):
        return str(folder)


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
