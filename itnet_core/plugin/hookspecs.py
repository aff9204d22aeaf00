"""Hook specification: the hooks that a plugin may implement. This file is their reference.

A plugin is a module named by an entry point of the group `itnet.plugins`. It imports no torch, and marks the hooks that
it implements with `itnet_core.hookimpl`. Hooks are called one plugin at a time, so that a fault has an owner, and never
in a model's forward pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from itnet_core.plugin.specs import Check, CommandSpec, ComponentSpec, PresetSpec

PROJECT = "itnet"
ENTRY_POINT_GROUP = "itnet.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def itnet_register_components(api: int) -> Iterable[ComponentSpec]:
    """Declare the plugin's components. Called once, when the plugin is loaded.

    Args:
        api: `itnet_core.API` of the running core.
    """
    raise NotImplementedError


@hookspec
def itnet_register_presets(api: int) -> Iterable[PresetSpec]:
    """Declare model presets. Called once, when the plugin is loaded.

    Args:
        api: `itnet_core.API` of the running core.
    """
    raise NotImplementedError


@hookspec
def itnet_register_commands(api: int) -> Iterable[CommandSpec]:
    """Declare commands of `itnet`. Called once, when the plugin is loaded.

    Args:
        api: `itnet_core.API` of the running core.
    """
    raise NotImplementedError


@hookspec
def itnet_migrate_config(component: str, config: Mapping[str, Any], from_version: int) -> Mapping[str, Any] | None:
    """Migrate a component's configuration from an older `config_version` to the current one.

    Called on the plugin that owns the component, when a checkpoint holds an older version.

    Args:
        component: the canonical id, `itnet-image/patch`.
        config: the saved configuration.
        from_version: its `config_version`.

    Returns:
        The configuration for the current version, or `None` if the plugin cannot migrate from that version.
    """
    raise NotImplementedError


@hookspec
def itnet_doctor(api: int) -> Iterable[Check]:
    """Check the plugin's requirements of the machine: a compiler, a device, a codec.

    Called by `itnet doctor --plugins`.

    Args:
        api: `itnet_core.API` of the running core.
    """
    raise NotImplementedError
