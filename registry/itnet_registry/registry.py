"""The registry: plugins found and loaded on demand, and their names resolved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from packaging.utils import canonicalize_name

from itnet_core import Check, ConfigError
from itnet_core.plugin.specs import KINDS, Kind
from itnet_registry.collected import Collected
from itnet_registry.components import TAKES_DIM, Component
from itnet_registry.declared import Command, Preset
from itnet_registry.discovery import Discovery, Source, discover
from itnet_registry.errors import CheckpointError, Fault, PluginError, refused_as
from itnet_registry.loading import BUILT_IN_COMMANDS, Plugin, load
from itnet_registry.names import canonical, choose, unknown
from itnet_registry.plugin_code import LOADING
from itnet_registry.settings import Settings

if TYPE_CHECKING:
    from os import PathLike

    from itnet_core import Evaluator, ITNetModel


class Registry:
    """The plugins of this environment. Nothing is looked for before something is asked.

    A plugin that fails is set aside with its fault, and everything else goes on; what needs it fails, and quotes the
    fault. A registry may be used from several threads.

    Args:
        prefer: canonical ids that their bare names stand for; by default those of `ITNET_PREFER`.
        settings: which plugins may be imported; by default what the environment says.
    """

    def __init__(self, *, prefer: Iterable[str] = (), settings: Settings | None = None) -> None:
        self.settings = Settings.from_environment() if settings is None else settings
        self.prefer = tuple(prefer) or self.settings.prefer
        self._discovery: Discovery | None = None
        self._plugins: dict[Source, Plugin | None] = {}
        self._faults: dict[Source, Fault] = {}
        self._known: dict[str, Collected[Any]] = {}
        self._automatic: tuple[Evaluator, ...] | None = None

    @property
    def discovery(self) -> Discovery:
        """What the metadata of the installed distributions tell; imports no plugin."""
        with LOADING:
            if self._discovery is None:
                found = discover(self.settings)
                if self.settings.strict and found.faults:
                    raise PluginError.of(found.faults[0])
                self._discovery = found
            return self._discovery

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The plugins that were set aside so far."""
        with LOADING:
            return (*self.discovery.faults, *(self._faults[source] for source in sorted(self._faults)))

    def plugins(self, distribution: str | None = None) -> list[Plugin]:
        """Return the plugins that load, of one distribution or of all, importing those that were not asked before."""
        name = None if distribution is None else str(canonicalize_name(distribution))
        sources = [s for s in self.discovery.sources if name in (None, s.distribution)]
        return [plugin for plugin in map(self._plugin, sources) if plugin is not None]

    def components(self, kind: Kind | None = None) -> list[Component]:
        """Return the components of a kind, or of all, in the order of their kinds and ids; imports no torch.

        Raises:
            ConfigError: there is no such kind.
        """
        if kind is not None and kind not in KINDS:
            raise ConfigError("kind", found=repr(kind), expected=f"one of {', '.join(KINDS)}")
        found = [c for c in self._collected("components").every if kind in (None, c.kind)]
        return sorted(found, key=lambda c: (KINDS.index(c.kind), c.id))

    def presets(self) -> list[Preset]:
        """Return the model presets in the order of their plugins."""
        return list(self._collected("presets").every)

    def commands(self) -> list[Command]:
        """Return the plugins' commands in the order of their plugins."""
        return list(self._collected("commands").every)

    def available(self, kind: Kind | None = None) -> list[str]:
        """Return the canonical ids of the components of a kind, or of all."""
        return sorted({component.id for component in self.components(kind)})

    def component(self, kind: Kind, name: str, *, place: str | None = None, prefer: Sequence[str] = ()) -> Component:
        """Return the component that a name stands for. A canonical id imports no plugin but its own.

        Args:
            kind: one of `itnet_core.plugin.specs.KINDS`.
            name: bare (`patch`) or canonical (`itnet-image/patch`).
            place: how errors call the place where the name stands.
            prefer: preferences that go before the registry's own.

        Raises:
            UnknownNameError: no plugin that loads has it.
            AmbiguousNameError: several have it, and no preference decides.
        """
        place = kind if place is None else place
        distribution, slash, _ = canonical(name).partition("/")
        if slash:
            own = [c for plugin in self.plugins(distribution) for c in plugin.components if c.kind == kind]
            chosen = choose(place, name, (c for c in own if c.id == canonical(name)), ())
            if chosen is not None:
                return chosen
        named = [c for c in self._collected("components").named(name) if c.kind == kind]
        chosen = choose(place, name, named, (prefer, self.prefer))
        if chosen is None:
            raise unknown(place, kind, name, self.components(kind), self.discovery, self.faults)
        return chosen

    def preset(self, name: str, *, place: str = "preset", prefer: Sequence[str] = ()) -> Preset:
        """Return the preset that a name stands for; raises as `component` does."""
        chosen = choose(place, name, self._collected("presets").named(name), (prefer, self.prefer))
        if chosen is None:
            raise unknown(place, "preset", name, self.presets(), self.discovery, self.faults)
        return chosen

    def command(self, name: str) -> Command:
        """Return the plugins' command that a name stands for; raises as `component` does."""
        chosen = choose("itnet", name, self._collected("commands").named(name), (self.prefer,))
        if chosen is None:
            raise unknown("itnet", "command", name, self.commands(), self.discovery, self.faults, BUILT_IN_COMMANDS)
        return chosen

    def create(self, kind: Kind, /, name: str, **config: Any) -> Any:
        """Return a new component: encoders, kernels, samplers and heads take their channels as `dim`.

        Raises:
            UnknownNameError, AmbiguousNameError: see `component`.
            RequirementError, ComponentError: see `Component.load`.
            ConfigError: the configuration does not fit it.
        """
        component = self.component(kind, name)
        if kind in TAKES_DIM and "dim" not in config:
            raise ConfigError(
                f"create({kind!r}, {name!r})",
                found="no dim",
                expected="dim, the number of channels",
                hint=f"Write create({kind!r}, {name!r}, dim=64).",
            )
        from itnet_registry.automatic import offered

        return offered(self, component.load()(**config))

    @property
    def automatic_evaluators(self) -> tuple[Evaluator, ...]:
        """The evaluators that `auto` chooses from, in the order of preference."""
        from itnet_registry.automatic import ranked

        with LOADING:
            if self._automatic is None:
                self._automatic = tuple(evaluator for _, evaluator in ranked(self))
            return self._automatic

    def create_model(self, preset: str | None = None, **overrides: Any) -> ITNetModel:
        """Return a new model; see `itnet_registry.assemble.create_model`."""
        from itnet_registry.assemble import create_model

        return create_model(self, preset, overrides)

    def save_model(self, model: ITNetModel, path: str | PathLike[str]) -> None:
        """Write a checkpoint; see `itnet_registry.checkpoint.save_model`."""
        from itnet_registry.checkpoint import save_model

        with refused_as(CheckpointError, path):
            save_model(self, model, path)

    def load_model(self, path: str | PathLike[str]) -> ITNetModel:
        """Read a checkpoint; see `itnet_registry.checkpoint.load_model`."""
        from itnet_registry.checkpoint import load_model

        with refused_as(CheckpointError, path):
            return load_model(self, path)

    def use_sampler(self, model: ITNetModel, sampler: str | Mapping[str, Any]) -> None:
        """Replace a model's sampler in place; see `itnet_registry.samplers.use_sampler`."""
        from itnet_registry.samplers import use_sampler

        use_sampler(self, model, sampler)

    def replace_head(self, model: ITNetModel, head: str | Mapping[str, Any], modality: str | None = None) -> None:
        """Replace a model's head in place; see `itnet_registry.replacing.replace_head`."""
        from itnet_registry.replacing import replace_head

        replace_head(self, model, head, modality)

    def replace_operator(self, model: ITNetModel, **parts: str | Mapping[str, Any] | None) -> None:
        """Replace the operators of a model's blocks in place; see `itnet_registry.replacing.replace_operator`."""
        from itnet_registry.replacing import replace_operator

        replace_operator(self, model, **parts)

    def migrate(self, component: Component, config: Mapping[str, Any], from_version: int) -> Mapping[str, Any] | None:
        """Have a component's plugin bring an older configuration to its present form; `None` if it cannot."""
        plugin = self._plugin(component.source)
        return None if plugin is None else plugin.migrate(component.id, config, from_version)

    def doctor(self) -> list[tuple[Plugin, list[Check]]]:
        """Return what each plugin says of its surroundings."""
        return [(plugin, plugin.doctor()) for plugin in self.plugins()]

    def _collected(self, what: Literal["components", "presets", "commands"]) -> Collected[Any]:
        """Return what all plugins declare, put together once; a plugin that is being imported is not there yet."""
        with LOADING:
            plugins = self.plugins()
            known = self._known.get(what)
            if known is None or known.plugins != plugins:
                declared = [each for plugin in plugins for each in getattr(plugin, what)]
                known = self._known[what] = Collected.of(plugins, declared)
            return known

    def _plugin(self, source: Source) -> Plugin | None:
        with LOADING:  # a thread that asks for a plugin which another one loads waits for it
            if source not in self._plugins:
                self._plugins[source] = None  # a plugin that lists plugins while it is imported does not see itself
                try:
                    self._plugins[source] = load(source)
                except BaseException as error:
                    if self.settings.strict or not isinstance(error, PluginError) or error.fault is None:
                        del self._plugins[source]  # an interrupt is no fault of the plugin's
                        raise
                    self._faults[source] = error.fault
            return self._plugins[source]
