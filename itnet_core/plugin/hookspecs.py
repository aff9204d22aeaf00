"""The hooks that a plugin may implement: this file is their reference.

A plugin is an import-light module named by an entry point of the group `itnet.plugins`. It marks the hooks that it
implements with `itnet_core.hookimpl`. Hooks are called one plugin at a time, so that a fault has an owner, and never in
a model's forward pass. Imports no torch.
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
    """Declare the plugin's components. Called once, when the plugin is first loaded.

    Args:
        api: `itnet_core.API` of the running core.
    """
    raise NotImplementedError


@hookspec
def itnet_register_presets(api: int) -> Iterable[PresetSpec]:
    """Declare model presets. Called once, when the plugin is first loaded.

    Args:
        api: `itnet_core.API` of the running core.
    """
    raise NotImplementedError


@hookspec
def itnet_register_commands(api: int) -> Iterable[CommandSpec]:
    """Declare commands of `itnet`. Called once, when the plugin is first loaded.

    Args:
        api: `itnet_core.API` of the running core.
    """
    raise NotImplementedError


@hookspec
def itnet_migrate_config(component: str, config: Mapping[str, Any], from_version: int) -> Mapping[str, Any] | None:
    """Bring a component's configuration from an older `config_version` to the present one.

    Called on the plugin that owns the component, when a checkpoint holds an older version.

    Args:
        component: the canonical id, `itnet-image/patch`.
        config: the configuration as it was saved.
        from_version: the `config_version` that it was saved with.

    Returns:
        The configuration for the present version, or `None` if the plugin cannot migrate from that version.
    """
    raise NotImplementedError


@hookspec
def itnet_doctor(api: int) -> Iterable[Check]:
    """Look at what the plugin needs from its surroundings (a compiler, a device, a codec) and say how it is.

    Called by `itnet doctor --plugins`.

    Args:
        api: `itnet_core.API` of the running core.
    """
    raise NotImplementedError
