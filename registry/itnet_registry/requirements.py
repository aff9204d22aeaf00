"""Requirements (PEP 508): which are not met here, and the command that meets them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_NAME = re.compile(r"[A-Za-z0-9._-]*")


def unmet(requirements: Iterable[str]) -> tuple[str, ...]:
    """Return those requirements, of the ones whose markers hold here, that no installed distribution meets.

    Raises:
        InvalidRequirement: one is not of PEP 508's form.
    """
    return tuple(text for text in requirements if not _met(Requirement(text)))


def core_range(requirements: Iterable[str], core: str) -> list[Requirement]:
    """Return the requirements on the distribution `core` whose markers hold here, with no extra asked for.

    Raises:
        InvalidRequirement: one is not of PEP 508's form.
    """
    on_core = (Requirement(text) for text in requirements if canonicalize_name(_name(text)) == core)
    return [requirement for requirement in on_core if _applies(requirement)]


def pip_install(requirements: Iterable[str], *, upgrade: bool = False) -> str:
    """Return the command that installs `requirements`, for a shell."""
    return shlex.join(["pip", "install", *(["--upgrade"] if upgrade else []), *sorted(set(requirements))])


def at_least(distribution: str, found: str) -> str:
    """Return the requirement for `distribution` in the version `found` or a later one."""
    try:
        return f"{distribution}>={Version(found).public}"
    except InvalidVersion:
        return distribution


def older(left: str, right: str) -> bool:
    """Return whether the version `left` is older than `right`; not if either is no version."""
    try:
        return Version(left) < Version(right)
    except InvalidVersion:
        return False


def _name(requirement: str) -> str:
    match = _NAME.match(requirement)
    return match.group() if match else ""


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _met(requirement: Requirement) -> bool:
    if not _applies(requirement):
        return True
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except (PackageNotFoundError, InvalidVersion):
        return False
