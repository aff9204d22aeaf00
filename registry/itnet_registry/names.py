"""From a name to the one thing that it stands for, whatever the order in which plugins were found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from packaging.utils import canonicalize_name

from itnet_core.plugin.errors import closest, shown
from itnet_registry import first_party
from itnet_registry.declared import Declared
from itnet_registry.discovery import Discovery
from itnet_registry.errors import AmbiguousNameError, Fault, UnknownNameError
from itnet_registry.requirements import pip_install

D = TypeVar("D", bound=Declared[Any])


def canonical(name: str) -> str:
    """Return `name` with its first part spelt as distributions are: `itnet-image/patch` for `ITNet_Image/patch`."""
    distribution, slash, rest = name.partition("/")
    return f"{canonicalize_name(distribution)}{slash}{rest}" if slash else name


def choose(place: str, name: str, declared: Iterable[D], preferences: Sequence[Sequence[str]]) -> D | None:
    """Return what `name` stands for among `declared`; `None` if there is nothing of that name.

    A canonical id stands for itself. A bare name stands for the one thing that has it, or for the one that the first of
    the `preferences` that has an opinion names. The same target registered twice is one thing.

    Raises:
        AmbiguousNameError: there are several, and the preferences do not decide.
    """
    declared = sorted(declared, key=lambda each: (each.id, each.source))
    candidates = [each for each in declared if each.id == canonical(name)]
    if not candidates:
        candidates = [each for each in declared if each.name == name]
        for ids in preferences:
            pinned = [each for each in candidates if each.id in map(canonical, ids)]
            if pinned:
                candidates = pinned
                break
    if any(each.identity != candidates[0].identity for each in candidates):
        listed = ", ".join(f"{each.id} ({each.source.title}, {each.source.module})" for each in candidates)
        raise AmbiguousNameError(
            place,
            found=f"{name!r}, which {len(candidates)} plugins provide: {listed}",
            expected="a name that stands for one of them",
            hint=f"Write it in full, or pin one: prefer=[{candidates[0].id!r}], or ITNET_PREFER={candidates[0].id}.",
        )
    return candidates[0] if candidates else None


def shortest(declared: Iterable[D]) -> list[str]:
    """Return a name for each that stands for it alone: the bare one where it is unique, else the canonical id."""
    declared = list(declared)
    bare = Counter(each.name for each in declared)
    return sorted({each.name if bare[each.name] == 1 else each.id for each in declared})


def unknown(
    place: str,
    kind: str,
    name: str,
    declared: Sequence[Declared[Any]],
    found: Discovery,
    faults: Sequence[Fault],
    built_in: Sequence[str] = (),
) -> UnknownNameError:
    """Return the error for a name that nothing has.

    It says what is installed, what was perhaps meant, which plugins were set aside or left out, and for a component of
    the project itself that is not installed, the command that installs it.
    """
    installed = [*built_in, *shortest(declared)]
    hints = [_installation(kind, name, found, faults), _close(kind, name, installed, [each.id for each in declared])]
    hints += [f"{fault}." for fault in faults]
    for variable in sorted({variable for _, variable in found.excluded}):
        left_out = ", ".join(source.title for source, because in found.excluded if because == variable)
        hints.append(f"{variable} leaves out {left_out}.")
    return UnknownNameError(
        place,
        found=f"{shown(name)}, which no installed plugin provides",
        expected=f"one of the installed {kind}s: {', '.join(installed)}"
        if installed
        else f"a {kind}; none is installed",
        hint=" ".join(hint for hint in hints if hint),
    )


def _installation(kind: str, name: str, found: Discovery, faults: Sequence[Fault]) -> str:
    """Say which distribution would bring the name."""
    working = {source.distribution: source.title for source in found.sources}
    broken = {fault.distribution for fault in faults} | {source.distribution for source, _ in found.excluded}
    name = canonical(name)
    distribution, slash, _ = name.partition("/")
    owner = first_party.bringer(kind, name) or (distribution if slash and distribution in working else None)
    if owner is None or owner in broken:
        return ""
    if owner not in working:
        return f"{owner} brings it, and is not installed: {pip_install([owner])}."
    return (
        f"{working[owner]} is installed, but does not offer it; a newer one may: {pip_install([owner], upgrade=True)}."
    )


def _close(kind: str, name: str, installed: Sequence[str], ids: Sequence[str]) -> str:
    """Say which name was perhaps meant."""
    close = closest(name.lower(), [*installed, *ids, *first_party.names(kind)])
    if close is None or close == name:
        return ""
    owner = None if close in installed or close in ids else first_party.bringer(kind, close)
    return f"Did you mean {close!r}{f' of {owner} ({pip_install([owner])})' if owner else ''}?"
