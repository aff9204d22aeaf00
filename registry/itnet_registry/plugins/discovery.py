"""Discovery of plugins by the metadata of installed distributions; nothing is imported."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, distributions

from packaging.utils import canonicalize_name
from packaging.version import Version

from itnet_core.plugin.hookspecs import ENTRY_POINT_GROUP
from itnet_registry.errors import Fault
from itnet_registry.plugins.settings import Settings


@dataclass(frozen=True, order=True)
class Source:
    """A plugin as the metadata of its distribution describe it."""

    distribution: str
    """Normalised name."""
    entry_point: str
    """Name of the entry point."""
    module: str
    """Value of the entry point, `"itnet_image.plugin"`."""
    version: str
    """Version of the distribution."""
    requires: tuple[str, ...] = field(default=(), compare=False)
    """Requirements of the distribution (PEP 508), with extras and markers."""
    location: str = field(default="", compare=False)
    """Folder that the distribution is installed in."""
    editable: bool = field(default=False, compare=False)
    """Whether it is an editable install: its errors then say what to fix, since the user is its author."""

    @property
    def title(self) -> str:
        """Name and version, for messages."""
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Discovery:
    """The plugins of an environment."""

    sources: tuple[Source, ...]
    """Plugins that may be used, sorted by name."""
    excluded: tuple[tuple[Source, str], ...]
    """Plugins that an environment variable leaves out, each with the name of the variable."""
    faults: tuple[Fault, ...]
    """Distributions whose metadata cannot be read."""
    shadowed: tuple[Source, ...]
    """Plugins of further copies of a distribution that differ from the first on `sys.path`, which Python imports."""


def discover(settings: Settings, installed: Iterable[Distribution] | None = None) -> Discovery:
    """Return the plugins among `installed` distributions, by default all on `sys.path`."""
    by_distribution: dict[str, list[Source]] = {}
    faults: list[Fault] = []
    shadowed: list[Source] = []
    for distribution in distributions() if installed is None else installed:
        try:
            text = distribution.read_text("entry_points.txt") or ""
            if ENTRY_POINT_GROUP not in text:
                continue
            sources = _sources(distribution)
        except Exception as error:
            faults.append(_fault(distribution, error))
            continue
        first_copy = by_distribution.setdefault(sources[0].distribution, sources) if sources else []
        shadowed += [source for source in sources if source not in first_copy]
    ordered = sorted({source for sources in by_distribution.values() for source in sources})
    variables = [settings.excludes(source.distribution, source.entry_point) for source in ordered]
    pairs = list(zip(ordered, variables, strict=True))
    return Discovery(
        sources=tuple(source for source, variable in pairs if variable is None),
        excluded=tuple((source, variable) for source, variable in pairs if variable is not None),
        faults=tuple(faults),
        shadowed=tuple(shadowed),
    )


def _sources(distribution: Distribution) -> list[Source]:
    entry_points = distribution.entry_points.select(group=ENTRY_POINT_GROUP)
    metadata = distribution.metadata  # parsed once: every access parses the whole file again
    name, version = metadata["Name"], metadata["Version"]
    if not name:
        raise ValueError("the distribution's METADATA has no Name")
    Version(version or "")
    editable = _is_editable(distribution)
    requires = metadata.get_all("Requires-Dist") or distribution.requires or ()
    return [
        Source(
            distribution=str(canonicalize_name(name)),
            entry_point=entry_point.name,
            module=_checked(entry_point).value,
            version=version,
            requires=tuple(requires),
            location=_location(distribution),
            editable=editable,
        )
        for entry_point in entry_points
    ]


def _checked(entry_point: EntryPoint) -> EntryPoint:
    if entry_point.pattern.fullmatch(entry_point.value) is None:
        raise ValueError(f"entry point {entry_point.name!r}: found {entry_point.value!r}; expected a module's name")
    return entry_point


def _location(distribution: Distribution) -> str:
    return str(distribution.locate_file(""))


def _is_editable(distribution: Distribution) -> bool:
    """Whether the metadata of an installation (PEP 610) call it editable."""
    try:
        return bool(json.loads(distribution.read_text("direct_url.json") or "{}")["dir_info"]["editable"])
    except (ValueError, KeyError, TypeError):
        return False


def _fault(distribution: Distribution, error: Exception) -> Fault:
    try:
        name, version = str(canonicalize_name(distribution.metadata["Name"])), distribution.version
    except Exception:
        name, version = f"a distribution in {_location(distribution)}", "of unknown version"
    return Fault.of(error, distribution=name, version=version, module="?", stage="discover")
