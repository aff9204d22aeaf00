"""Loading one plugin: its import and its hooks, stage by stage, so that a fault has an owner and a place."""

from __future__ import annotations

import inspect
import json
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

import pluggy
from packaging.requirements import Requirement

import itnet_core
from itnet_core import Check, CommandSpec, ComponentSpec, PresetSpec
from itnet_core.plugin import hookspecs
from itnet_core.plugin.errors import closest
from itnet_registry.components import Component
from itnet_registry.declared import Command, Preset
from itnet_registry.discovery import Source
from itnet_registry.errors import Fault, PluginError, Stage
from itnet_registry.plugin_code import PATIENCE_WITH_TORCH, plugin_code
from itnet_registry.requirements import core_range, pip_install
from itnet_registry.settings import CORE
from itnet_registry.targets import one_line

S = TypeVar("S", ComponentSpec, PresetSpec, CommandSpec, Check)

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("itnet_"))
SERVED = (itnet_core.API - 1, itnet_core.API)
BUILT_IN_COMMANDS = ("list", "info", "doctor", "new-plugin", "schema", "validate")
OWN_SECTIONS = ("model", "task")


@dataclass(frozen=True)
class Plugin:
    """A plugin that loaded, and all that it declares.

    Attributes:
        source: where it came from.
        hook: pluggy's caller, with this plugin's hooks alone.
    """

    source: Source
    hook: pluggy.HookRelay
    components: tuple[Component, ...]
    presets: tuple[Preset, ...]
    commands: tuple[Command, ...]

    def migrate(self, component: str, config: Mapping[str, Any], from_version: int) -> Mapping[str, Any] | None:
        """Return a component's configuration in its present form; `None` if the plugin cannot."""
        with plugin_code(self.source, "migrating a configuration of", PATIENCE_WITH_TORCH):
            found = self.hook.itnet_migrate_config(component=component, config=config, from_version=from_version)
        return found[0] if found else None

    def doctor(self) -> list[Check]:
        """Return what the plugin says of its surroundings; a hook that fails is a failed check."""
        try:
            with plugin_code(self.source, "asking itnet_doctor of", PATIENCE_WITH_TORCH):
                told = _declarations(self.hook.itnet_doctor, Check)
                return [Check(name=str(c.name), ok=bool(c.ok), detail=str(c.detail)) for c in told]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return [Check(name="itnet_doctor", ok=False, detail=one_line(error))]


def load(source: Source) -> Plugin:
    """Import a plugin and collect its declarations.

    All are collected at once, so that whether a plugin is set aside never depends on what was asked of it first.

    Raises:
        PluginError: a stage failed; its `fault` says which.
    """
    check_core(source)
    with plugin_code(source, "loading"):
        return _load(source)


def _load(source: Source) -> Plugin:
    with _stage(source, "import"):
        module = EntryPoint(source.entry_point, source.module, hookspecs.ENTRY_POINT_GROUP).load()
    with _stage(source, "api"):
        _check_api(module)
    with _stage(source, "hooks"):
        hook = _hooks(module)
    with _stage(source, "register"):
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


@contextmanager
def _stage(source: Source, stage: Stage) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the program that lists it
        fault = Fault(
            distribution=source.distribution,
            version=source.version,
            module=source.module,
            stage=stage,
            error=one_line(error),
            traceback="".join(traceback.format_exception(error)),
        )
        raise PluginError.of(fault) from error


def check_core(source: Source) -> None:
    """Compare the core's version with the range that the plugin's metadata ask for; imports nothing of the plugin.

    Raises:
        PluginError: at stage `version`.
    """
    with _stage(source, "version"):
        for requirement in core_range(source.requires, CORE):
            if not requirement.specifier.contains(itnet_core.__version__, prereleases=True):
                raise RuntimeError(
                    f"found {CORE} {itnet_core.__version__}; expected {requirement}, as the plugin's metadata say; "
                    f"run {pip_install([CORE, source.distribution], upgrade=True)}"
                )


def _check_api(module: Any) -> None:
    api = getattr(module, "itnet_api", itnet_core.API)
    if not isinstance(api, int) or isinstance(api, bool):
        raise TypeError(f"itnet_api: found {api!r}; expected an integer")
    if api not in SERVED:
        raise RuntimeError(f"itnet_api: found {api}; expected one that this core serves, {SERVED[0]} or {SERVED[1]}")


def _hooks(module: Any) -> pluggy.HookRelay:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name, _ in inspect.getmembers(module, inspect.isroutine):
        options = manager.parse_hookimpl_opts(module, name)
        hook = (options and options.get("specname")) or name
        if hook not in HOOKS and (options or name.startswith("itnet_")):
            close = closest(hook, HOOKS)
            hint = f"Did you mean {close!r}?" if close else f"The hooks are {', '.join(HOOKS)}."
            raise AttributeError(f"{hook!r} is no hook of itnet_core.plugin.hookspecs. {hint}")
        if hook in HOOKS and not options:
            raise AttributeError(f"{name!r} is not marked as a hook. Decorate it with itnet_core.hookimpl.")
    manager.register(module)
    manager.check_pending()
    return manager.hook


def _declarations(hook: pluggy.HookCaller, kind: type[S]) -> list[S]:
    """Call a hook that returns declarations, and check that they are."""
    if not hook.get_hookimpls():
        return []
    returned: list[Iterable[S] | None] = hook(api=itnet_core.API) or [None]
    declarations: list[S] = []
    for found in returned:
        if not isinstance(found, Iterable) or isinstance(found, (str, Mapping)):
            raise TypeError(f"{hook.name} returned {found!r}; expected an iterable of {kind.__name__}")
        declarations += found
    for each in declarations:
        if not isinstance(each, kind):
            raise TypeError(f"{hook.name} returned an iterable with {each!r}; expected {kind.__name__} alone")
    # Made again, so that what is checked when one is made holds for a subclass too, and for what was changed since.
    return [kind(**{field.name: getattr(each, field.name) for field in fields(kind)}) for each in declarations]


def _check_declarations(plugin: Plugin) -> None:
    _unique(plugin.components, lambda component: (component.spec.kind, component.name))
    _unique(plugin.presets, lambda preset: preset.name)
    _unique(plugin.commands, lambda command: command.name)
    for component in plugin.components:
        for requirement in component.spec.requires:
            Requirement(requirement)
    for preset in plugin.presets:
        json.dumps(dict(preset.spec.config), allow_nan=False)
    for command in plugin.commands:
        for name in ({command.name} & {*BUILT_IN_COMMANDS}) | (command.spec.sections.keys() & {*OWN_SECTIONS}):
            raise ValueError(
                f"CommandSpec {command.name!r}: found {name!r}, which is itnet's own; expected another name"
            )


def _unique(declared: Iterable[Any], key: Callable[[Any], Any]) -> None:
    seen: dict[Any, Any] = {}
    for each in declared:
        if seen.setdefault(key(each), each).identity != each.identity:
            raise ValueError(f"{each.name!r} is declared twice, as {seen[key(each)].identity!r} and {each.identity!r}")
