"""The plugins of an environment, loaded on demand, and their declarations by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

from packaging.utils import canonicalize_name

from itnet_core import Check, ConfigError
from itnet_core.plugin.errors import did_you_mean
from itnet_core.plugin.specs import KINDS, Kind
from itnet_registry.errors import AmbiguousNameError, Fault, PluginError, UnknownNameError
from itnet_registry.plugins.compatibility import check_core
from itnet_registry.plugins.components import Component
from itnet_registry.plugins.declarations import Command, Declared, Preset
from itnet_registry.plugins.discovery import Discovery, Source, discover
from itnet_registry.plugins.loading import BUILT_IN_COMMANDS, Plugin, load
from itnet_registry.plugins.names import canonical, choose, unknown
from itnet_registry.plugins.plugin_code import LOADING
from itnet_registry.plugins.settings import Settings

D = TypeVar("D", bound=Declared[Any])


@dataclass(frozen=True)
class _Index(Generic[D]):
    """The different declarations of some plugins, and the same by canonical id and by bare name."""

    plugins: Sequence[Plugin]
    declarations: Sequence[D]
    by_name: Mapping[str, Sequence[D]]

    @classmethod
    def of(cls, plugins: Sequence[Plugin], declarations: Iterable[D]) -> _Index[D]:
        """Index declarations; two entry points of a distribution may declare the same one."""
        different: list[D] = []
        by_name: dict[str, list[D]] = {}
        for declared in declarations:
            namesakes = by_name.setdefault(declared.id, [])
            if not any(declared.identity == other.identity for other in namesakes if other.id == declared.id):
                different.append(declared)
                namesakes.append(declared)
                by_name.setdefault(declared.name, []).append(declared)
        return cls(plugins, different, by_name)

    def named(self, name: str) -> list[D]:
        """Return the declarations that a bare name or canonical id may stand for."""
        return [declared for key in sorted({name, canonical(name)}) for declared in self.by_name.get(key, ())]


class PluginRegistry:
    """The plugins of an environment and their declarations; nothing is imported before the first query.

    A plugin that fails is quarantined with its fault, and the others stay usable; a query that needs it fails and
    quotes the fault. Thread-safe.

    Args:
        prefer: canonical ids that their bare names stand for; by default those of `ITNET_PREFER`.
        settings: the plugins that may be imported; by default those of the environment variables.
    """

    def __init__(self, *, prefer: Iterable[str] = (), settings: Settings | None = None) -> None:
        self.settings = Settings.from_environment() if settings is None else settings
        self.prefer = tuple(prefer) or self.settings.prefer
        self._discovery: Discovery | None = None
        self._plugins: dict[Source, Plugin | None] = {}
        self._faults: dict[Source, Fault] = {}
        self._indices: dict[str, _Index[Any]] = {}

    @property
    def discovery(self) -> Discovery:
        """The plugins by the metadata of installed distributions; imports no plugin."""
        with LOADING:
            if self._discovery is None:
                discovery = discover(self.settings)
                if self.settings.strict and discovery.faults:
                    raise PluginError.of(discovery.faults[0])
                self._discovery = discovery
            return self._discovery

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults of the plugins quarantined so far."""
        with LOADING:
            return (*self.discovery.faults, *(self._faults[source] for source in sorted(self._faults)))

    def check_metadata(self) -> tuple[list[Source], list[Fault]]:
        """Return the plugins whose metadata fit this core, and the faults of the others; imports no plugin.

        Raises:
            PluginError: a plugin does not fit, and the registry is strict.
        """
        sources, faults = [], list(self.discovery.faults)
        for source in self.discovery.sources:
            try:
                check_core(source)
                sources.append(source)
            except PluginError as error:
                if self.settings.strict or error.fault is None:
                    raise
                faults.append(error.fault)
        return sources, faults

    def plugins(self, distribution: str | None = None) -> list[Plugin]:
        """Load and return the plugins of one distribution, or of all, without those in quarantine."""
        name = None if distribution is None else str(canonicalize_name(distribution))
        sources = [s for s in self.discovery.sources if name in (None, s.distribution)]
        return [plugin for plugin in map(self._plugin, sources) if plugin is not None]

    def components(self, kind: Kind | None = None) -> list[Component]:
        """Return the components of a kind, or of all, sorted by kind and id; imports no torch.

        Raises:
            ConfigError: the kind does not exist.
        """
        if kind is not None and kind not in KINDS:
            expected = f"one of {', '.join((*KINDS, 'preset'))}"
            raise ConfigError("kind", found=repr(kind), expected=expected, hint=did_you_mean(kind, (*KINDS, "preset")))
        components = [c for c in self._index("components").declarations if kind in (None, c.kind)]
        return sorted(components, key=lambda c: (KINDS.index(c.kind), c.id))

    def presets(self) -> list[Preset]:
        """Return the model presets in the order of their plugins."""
        return list(self._index("presets").declarations)

    def commands(self) -> list[Command]:
        """Return the plugins' commands in the order of their plugins."""
        return list(self._index("commands").declarations)

    def available(self, kind: str | None = None, pattern: str = "*") -> list[str]:
        """Return the canonical ids of components and presets, of one kind or of all; imports no torch.

        Example:
            >>> from itnet_registry import available
            >>> "itnet-core/mlp" in available("kernel")
            True
            >>> available("itnet-pyramid-?"), available("preset", "itnet-n*")
            (['itnet-core/itnet-pyramid-b', 'itnet-core/itnet-pyramid-s'], ['itnet-core/itnet-nano'])

        Args:
            kind: one of `itnet_core.plugin.specs.KINDS`, or `"preset"`; may be left out before a pattern.
            pattern: a shell pattern of bare names, such as `"*conv*"`, or of canonical ids, `"itnet-text/*"`.

        Raises:
            ConfigError: the kind does not exist.
        """
        if kind is not None and any(sign in kind for sign in "*?["):
            return self.available(pattern=kind)
        found: list[Declared[Any]] = []
        if kind != "preset":
            found += self.components(cast(Kind | None, kind))
        if kind in (None, "preset"):
            found += self.presets()
        return sorted({declared.id for declared in found if declared.matches(pattern)})

    def component(self, kind: Kind, name: str, *, place: str | None = None, prefer: Sequence[str] = ()) -> Component:
        """Return the component that a name stands for. For a canonical id, no other plugin is imported.

        Example:
            >>> from itnet_registry import component
            >>> component("encoder", "field").spec.modality
            'field'

        Args:
            kind: one of `itnet_core.plugin.specs.KINDS`.
            name: bare (`patch`) or canonical (`itnet-image/patch`).
            place: where the name is written, for errors.
            prefer: preferences before the registry's own.

        Raises:
            UnknownNameError: no plugin that loads provides it.
            AmbiguousNameError: several do, and no preference decides.
        """
        place = kind if place is None else place
        distribution, slash, _ = canonical(name).partition("/")
        if slash:
            own = [c for plugin in self.plugins(distribution) for c in plugin.components if c.kind == kind]
            component = choose(place, name, (c for c in own if c.id == canonical(name)), ())
            if component is not None:
                return component
        candidates: list[Component] = [c for c in self._index("components").named(name) if c.kind == kind]
        component = choose(place, name, candidates, (prefer, self.prefer))
        if component is None:
            raise unknown(place, kind, name, self.components(kind), self.discovery, self.faults)
        return component

    def component_of_any_kind(self, name: str) -> Component:
        """Return the component that a name stands for, if components of one kind alone have it.

        Raises:
            UnknownNameError: no kind has one.
            AmbiguousNameError: several kinds have one, or several plugins.
        """
        matches: list[Component] = []
        for kind in KINDS:
            try:
                matches.append(self.component(kind, name))
            except UnknownNameError:
                continue
        if not matches:
            raise unknown("name", "component", name, self.components(), self.discovery, self.faults)
        if len(matches) > 1:
            kinds = [component.kind for component in matches]
            raise AmbiguousNameError(
                "name",
                found=f"{name!r}, of kinds {', '.join(kinds)}",
                expected="one kind",
                hint=f"Add --kind {kinds[0]}.",
            )
        return matches[0]

    def preset(self, name: str, *, place: str = "preset", prefer: Sequence[str] = ()) -> Preset:
        """Return the preset that a name stands for; raises as `component` does."""
        preset: Preset | None = choose(place, name, self._index("presets").named(name), (prefer, self.prefer))
        if preset is None:
            raise unknown(place, "preset", name, self.presets(), self.discovery, self.faults)
        return preset

    def command(self, name: str) -> Command:
        """Return the plugins' command that a name stands for; raises as `component` does."""
        command: Command | None = choose("itnet", name, self._index("commands").named(name), (self.prefer,))
        if command is None:
            raise unknown("itnet", "command", name, self.commands(), self.discovery, self.faults, BUILT_IN_COMMANDS)
        return command

    def migrate(self, component: Component, config: Mapping[str, Any], from_version: int) -> Mapping[str, Any] | None:
        """Migrate a component's configuration to its present version; return `None` if its plugin cannot."""
        plugin = self._plugin(component.source)
        return None if plugin is None else plugin.migrate(component.id, config, from_version)

    def doctor(self) -> list[tuple[Plugin, list[Check]]]:
        """Return each plugin's checks of its environment."""
        return [(plugin, plugin.doctor()) for plugin in self.plugins()]

    def _index(self, declarations: Literal["components", "presets", "commands"]) -> _Index[Any]:
        """Return the index of all plugins' declarations, built once; a plugin being imported is not in it yet."""
        with LOADING:
            plugins = self.plugins()
            index = self._indices.get(declarations)
            if index is None or index.plugins != plugins:
                declared = [d for plugin in plugins for d in getattr(plugin, declarations)]
                index = self._indices[declarations] = _Index.of(plugins, declared)
            return index

    def _plugin(self, source: Source) -> Plugin | None:
        with LOADING:  # a thread that queries a plugin which another thread loads waits for it
            if source not in self._plugins:
                self._plugins[source] = None  # a plugin that lists plugins while it is imported does not see itself
                try:
                    self._plugins[source] = load(source)
                except BaseException as error:
                    if self.settings.strict or not isinstance(error, PluginError) or error.fault is None:
                        del self._plugins[source]  # an interrupt is not a fault of the plugin
                        raise
                    self._faults[source] = error.fault
            return self._plugins[source]
