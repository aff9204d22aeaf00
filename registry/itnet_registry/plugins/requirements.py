"""Requirements (PEP 508): unmet ones, version ranges, and the command that installs them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from itnet_registry.plugins.clone import installable

_NAME = re.compile(r"[A-Za-z0-9._-]*")


def unmet(requirements: Iterable[str]) -> tuple[str, ...]:
    """Return the requirements that apply here and that no installed distribution meets.

    Example:
        >>> unmet(["packaging>=1", "no-such-distribution", "windows-only; sys_platform == 'none'"])
        ('no-such-distribution',)

    Raises:
        InvalidRequirement: a requirement does not follow PEP 508.
    """
    return tuple(text for text in requirements if not _met(Requirement(text)))


def requirements_on(distribution: str, requirements: Iterable[str]) -> list[Requirement]:
    """Return the requirements on one distribution that apply here, without extras.

    Raises:
        InvalidRequirement: one of them does not follow PEP 508.
    """
    texts = (text for text in requirements if canonicalize_name(_name(text)) == distribution)
    return [requirement for requirement in map(Requirement, texts) if _applies(requirement)]


def pip_install(requirements: Iterable[str], *, upgrade: bool = False) -> str:
    """Return the shell command that installs `requirements`; in a clone, the project's own from their folders.

    Example:
        >>> pip_install(["itnet-image>=0.2", "itnet-core"], upgrade=True)
        "pip install --upgrade itnet-core 'itnet-image>=0.2'"
    """
    options = ["--upgrade"] if upgrade else []
    return shlex.join(["pip", "install", *options, *installable(sorted(set(requirements)))])


def at_least(distribution: str, oldest: str) -> str:
    """Return the requirement for a distribution in version `oldest` or later.

    Example:
        >>> at_least("itnet-image", "0.2.0+cu121")
        'itnet-image>=0.2.0'
    """
    try:
        return f"{distribution}>={Version(oldest).public}"
    except InvalidVersion:
        return distribution


def older(left: str, right: str) -> bool:
    """Whether version `left` is older than `right`; False if either is not a version.

    Example:
        >>> older("0.9", "0.10"), older("unknown", "1.0")
        (True, False)
    """
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
