"""Resolution of names to declarations, independent of the order of discovery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from packaging.utils import canonicalize_name

from itnet_core.plugin.errors import closest, shown
from itnet_registry.errors import AmbiguousNameError, Fault, UnknownNameError
from itnet_registry.plugins import first_party
from itnet_registry.plugins.declarations import Declared
from itnet_registry.plugins.discovery import Discovery
from itnet_registry.plugins.requirements import pip_install

D = TypeVar("D", bound=Declared[Any])

MANY = 30
"""Number of names up to which an error lists them."""


def canonical(name: str) -> str:
    """Return `name` with its distribution normalised.

    Example:
        >>> canonical("ITNet_Image/patch"), canonical("patch")
        ('itnet-image/patch', 'patch')
    """
    distribution, slash, rest = name.partition("/")
    return f"{canonicalize_name(distribution)}{slash}{rest}" if slash else name


def choose(place: str, name: str, declarations: Iterable[D], preferences: Sequence[Sequence[str]]) -> D | None:
    """Return the declaration that `name` stands for, or `None` if no declaration has the name.

    A canonical id stands for itself. A bare name stands for the only declaration that has it, or for the one named by
    the first of the `preferences` that names any. Two declarations of equal identity count as one.

    Raises:
        AmbiguousNameError: several declarations have the name, and no preference decides.
    """
    declarations = sorted(declarations, key=lambda declared: (declared.id, declared.source))
    candidates = [declared for declared in declarations if declared.id == canonical(name)]
    if not candidates:
        candidates = [declared for declared in declarations if declared.name == name]
        for ids in preferences:
            preferred = [declared for declared in candidates if declared.id in map(canonical, ids)]
            if preferred:
                candidates = preferred
                break
    if any(declared.identity != candidates[0].identity for declared in candidates):
        listed = ", ".join(f"{c.id} ({c.source.title}, {c.source.module})" for c in candidates)
        raise AmbiguousNameError(
            place,
            found=f"{name!r}, which {len(candidates)} plugins provide: {listed}",
            expected="a name that stands for one of them",
            hint=f"Write it in full, or pin one: prefer=[{candidates[0].id!r}], or ITNET_PREFER={candidates[0].id}.",
        )
    return candidates[0] if candidates else None


def shortest(declarations: Iterable[D]) -> list[str]:
    """Return a unique name for each declaration, sorted: the bare name where it is unique, else the canonical id."""
    declarations = list(declarations)
    count = Counter(declared.name for declared in declarations)
    return sorted({declared.name if count[declared.name] == 1 else declared.id for declared in declarations})


def unknown(
    place: str,
    kind: str,
    name: str,
    declarations: Sequence[Declared[Any]],
    discovery: Discovery,
    faults: Sequence[Fault],
    built_in: Sequence[str] = (),
) -> UnknownNameError:
    """Return the error for a name that no declaration has.

    It lists the installed names, a similar one, plugins in quarantine or left out, and the command that installs a
    missing component of the project itself.
    """
    installed = [*built_in, *shortest(declarations)]
    hints = [_installation(kind, name, discovery, faults), _similar(kind, name, installed, declarations)]
    hints += [f"{fault}." for fault in faults]
    for variable in sorted({variable for _, variable in discovery.excluded}):
        left_out = ", ".join(source.title for source, excluding in discovery.excluded if excluding == variable)
        hints.append(f"{variable} leaves out {left_out}.")
    return UnknownNameError(
        place,
        found=f"{shown(name)}, which no installed plugin provides",
        expected=_listed(kind, installed),
        hint=" ".join(hint for hint in hints if hint),
    )


def _listed(kind: str, installed: Sequence[str]) -> str:
    """Return the installed names, or the command that lists them if they are many."""
    if not installed:
        return f"a {kind}; none is installed"
    if len(installed) <= MANY:
        return f"one of the installed {kind}s: {', '.join(installed)}"
    only = "" if kind in ("component", "name") else f" --kind {kind}"
    return f"one of the {len(installed)} installed {kind}s, which `itnet list{only}` shows"


def _installation(kind: str, name: str, discovery: Discovery, faults: Sequence[Fault]) -> str:
    """Return the hint to install or upgrade the distribution that provides the name."""
    working = {source.distribution: source.title for source in discovery.sources}
    broken = {fault.distribution for fault in faults} | {source.distribution for source, _ in discovery.excluded}
    name = canonical(name)
    distribution, slash, _ = name.partition("/")
    owner = first_party.provider(kind, name) or (distribution if slash and distribution in working else None)
    if owner is None or owner in broken:
        return ""
    if owner not in working:
        return f"{owner} provides it, and is not installed: {pip_install([owner])}."
    return (
        f"{working[owner]} is installed, but does not provide it; a newer one may: "
        f"{pip_install([owner], upgrade=True)}."
    )


def _similar(kind: str, name: str, installed: Sequence[str], declarations: Sequence[Declared[Any]]) -> str:
    """Return the hint that names a similar name."""
    known = [*installed, *(declared.id for declared in declarations)]
    close = closest(name.lower(), [*known, *first_party.names(kind)])
    if close is None or close == name:
        return ""
    owner = None if close in known else first_party.provider(kind, close)
    return f"Did you mean {close!r}{f' of {owner} ({pip_install([owner])})' if owner else ''}?"
