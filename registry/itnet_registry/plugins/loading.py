"""Loading of one plugin: its import and its hooks, stage by stage, so that every fault names its plugin."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

import pluggy
from packaging.requirements import Requirement

import itnet_core
from itnet_core import Check, CommandSpec, ComponentSpec, PresetSpec
from itnet_core.plugin import hookspecs
from itnet_core.plugin.errors import did_you_mean
from itnet_registry.errors import one_line
from itnet_registry.plugins.compatibility import check_api, check_core
from itnet_registry.plugins.components import Component
from itnet_registry.plugins.declarations import Command, Declared, Preset
from itnet_registry.plugins.discovery import Source
from itnet_registry.plugins.plugin_code import PATIENCE_WITH_TORCH, plugin_code
from itnet_registry.plugins.quarantine import loading_stage

S = TypeVar("S", ComponentSpec, PresetSpec, CommandSpec, Check)
D = TypeVar("D", bound=Declared[Any])

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("itnet_"))
BUILT_IN_COMMANDS = ("list", "info", "cite", "doctor", "new-plugin", "schema", "validate")
BUILT_IN_SECTIONS = ("model", "task")
"""Sections of a configuration file that the registry itself reads."""


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin and its declarations."""

    source: Source
    """The plugin's distribution and module."""
    hook: pluggy.HookRelay
    """Calls the hooks of this plugin alone."""
    components: tuple[Component, ...]
    """Declared components."""
    presets: tuple[Preset, ...]
    """Declared presets."""
    commands: tuple[Command, ...]
    """Declared commands."""

    def migrate(self, component: str, config: Mapping[str, Any], from_version: int) -> Mapping[str, Any] | None:
        """Migrate a component's configuration to its present version; return `None` if the plugin cannot."""
        with plugin_code(self.source, "migrating a configuration of", PATIENCE_WITH_TORCH):
            answers = self.hook.itnet_migrate_config(component=component, config=config, from_version=from_version)
        return answers[0] if answers else None

    def doctor(self) -> list[Check]:
        """Return the plugin's checks of its environment; a hook that fails gives one failed check."""
        try:
            with plugin_code(self.source, "calling itnet_doctor of", PATIENCE_WITH_TORCH):
                checks = _declarations(self.hook.itnet_doctor, Check)
                return [Check(name=str(c.name), ok=bool(c.ok), detail=str(c.detail)) for c in checks]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return [Check(name="itnet_doctor", ok=False, detail=one_line(error))]


def load(source: Source) -> Plugin:
    """Import a plugin and collect its declarations.

    All hooks that return declarations are called at once, so that the quarantine of a plugin never depends on the order
    of queries.

    Raises:
        PluginError: a stage failed; `fault` records it.
    """
    check_core(source)
    with plugin_code(source, "loading"):
        return _load(source)


def _load(source: Source) -> Plugin:
    with loading_stage(source, "import"):
        module = EntryPoint(source.entry_point, source.module, hookspecs.ENTRY_POINT_GROUP).load()
    with loading_stage(source, "api"):
        check_api(module)
    with loading_stage(source, "hooks"):
        hook = _hooks(module)
    with loading_stage(source, "register"):
        plugin = Plugin(
            source,
            hook,
            components=tuple(
                Component(s, source) for s in _declarations(hook.itnet_register_components, ComponentSpec)
            ),
            presets=tuple(Preset(s, source) for s in _declarations(hook.itnet_register_presets, PresetSpec)),
            commands=tuple(Command(s, source) for s in _declarations(hook.itnet_register_commands, CommandSpec)),
        )
        _check_declarations(plugin)
    return plugin


def _hooks(module: Any) -> pluggy.HookRelay:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name, _ in inspect.getmembers(module, inspect.isroutine):
        options = manager.parse_hookimpl_opts(module, name)
        hook = (options and options.get("specname")) or name
        if hook not in HOOKS and (options or name.startswith("itnet_")):
            hint = did_you_mean(hook, HOOKS, f"The hooks are {', '.join(HOOKS)}.")
            raise AttributeError(f"{hook!r} is not a hook of itnet_core.plugin.hookspecs. {hint}")
        if hook in HOOKS and not options:
            raise AttributeError(f"{name!r} is not marked as a hook. Decorate it with itnet_core.hookimpl.")
    manager.register(module)
    manager.check_pending()
    return manager.hook


def _declarations(hook: pluggy.HookCaller, kind: type[S]) -> list[S]:
    """Call a hook and return its declarations, checked."""
    if not hook.get_hookimpls():
        return []
    answers: list[Iterable[S] | None] = hook(api=itnet_core.API) or [None]
    declarations: list[S] = []
    for answer in answers:
        if not isinstance(answer, Iterable) or isinstance(answer, (str, Mapping)):
            raise TypeError(f"{hook.name} returned {answer!r}; expected an iterable of {kind.__name__}")
        declarations += answer
    for spec in declarations:
        if not isinstance(spec, kind):
            raise TypeError(f"{hook.name} returned an iterable with {spec!r}; expected {kind.__name__} alone")
    # Constructed again, so that the checks of the constructor hold for subclasses and for specs changed since.
    return [kind(**{field.name: getattr(spec, field.name) for field in fields(kind)}) for spec in declarations]


def _check_declarations(plugin: Plugin) -> None:
    _check_unique(plugin.components, lambda component: (component.kind, component.name))
    _check_unique(plugin.presets, lambda preset: preset.name)
    _check_unique(plugin.commands, lambda command: command.name)
    for component in plugin.components:
        for requirement in component.spec.requires:
            Requirement(requirement)
    for preset in plugin.presets:
        json.dumps(dict(preset.spec.config), allow_nan=False)
    for command in plugin.commands:
        reserved = ({command.name} & {*BUILT_IN_COMMANDS}) | (command.spec.sections.keys() & {*BUILT_IN_SECTIONS})
        for name in sorted(reserved):
            raise ValueError(
                f"CommandSpec {command.name!r}: found {name!r}, which is itnet's own; expected another name"
            )


def _check_unique(declarations: Iterable[D], key: Callable[[D], object]) -> None:
    first: dict[object, D] = {}
    for declared in declarations:
        other = first.setdefault(key(declared), declared)
        if other.identity != declared.identity:
            raise ValueError(f"{declared.name!r} is declared twice, as {other.identity!r} and {declared.identity!r}")
