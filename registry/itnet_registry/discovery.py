"""Finding plugins by the metadata of installed distributions. Nothing is imported."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, distributions

from packaging.utils import canonicalize_name
from packaging.version import Version

from itnet_core.plugin.hookspecs import ENTRY_POINT_GROUP
from itnet_registry.errors import Fault
from itnet_registry.settings import Settings


@dataclass(frozen=True, order=True)
class Source:
    """A plugin as its distribution's metadata tell of it.

    Attributes:
        distribution: normalised name.
        entry_point: the name of its entry point.
        module: the value of its entry point, `"itnet_image.plugin"`.
        version: the distribution's version.
        requires: the distribution's requirements (PEP 508), extras and markers included.
        location: the folder that the distribution was found in.
    """

    distribution: str
    entry_point: str
    module: str
    version: str
    requires: tuple[str, ...] = field(default=(), compare=False)
    location: str = field(default="", compare=False)

    @property
    def title(self) -> str:
        """Name and version, for messages."""
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Discovery:
    """What discovery found.

    Attributes:
        sources: the plugins that may be used, in the order of their names.
        excluded: the plugins that the environment leaves out, each with the variable that does.
        faults: distributions whose metadata could not be read.
        shadowed: plugins of further copies of a distribution that say something else than the first copy on `sys.path`,
            which is the one that Python imports.
    """

    sources: tuple[Source, ...]
    excluded: tuple[tuple[Source, str], ...]
    faults: tuple[Fault, ...]
    shadowed: tuple[Source, ...]


def discover(settings: Settings, installed: Iterable[Distribution] | None = None) -> Discovery:
    """Return the plugins among `installed` distributions, by default all on `sys.path`."""
    found: dict[str, list[Source]] = {}
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
        known = found.setdefault(sources[0].distribution, sources) if sources else []
        shadowed += [source for source in sources if source not in known]
    ordered = sorted({source for sources in found.values() for source in sources})
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
    name = distribution.metadata["Name"]
    if not name:
        raise ValueError("the distribution's METADATA has no Name")
    Version(distribution.version or "")
    return [
        Source(
            distribution=str(canonicalize_name(name)),
            entry_point=entry_point.name,
            module=_checked(entry_point).value,
            version=distribution.version,
            requires=tuple(distribution.requires or ()),
            location=_location(distribution),
        )
        for entry_point in entry_points
    ]


def _checked(entry_point: EntryPoint) -> EntryPoint:
    if entry_point.pattern.fullmatch(entry_point.value) is None:
        raise ValueError(f"entry point {entry_point.name!r}: found {entry_point.value!r}; expected a module's name")
    return entry_point


def _location(distribution: Distribution) -> str:
    return str(distribution.locate_file(""))


def _fault(distribution: Distribution, error: Exception) -> Fault:
    try:
        name, version = str(canonicalize_name(distribution.metadata["Name"])), distribution.version
    except Exception:
        name, version = f"a distribution in {_location(distribution)}", "of unknown version"
    return Fault(
        distribution=name,
        version=version,
        module="?",
        stage="discover",
        error=f"{type(error).__name__}: {error}",
        traceback="".join(traceback.format_exception(error)),
    )
