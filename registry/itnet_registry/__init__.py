"""ITNet's registry: finds plugins, resolves names, assembles models, loads and saves them.

Names are imported on first use, so that listing components loads neither torch nor pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from itnet_registry.components import Component
    from itnet_registry.config_file import load_config
    from itnet_registry.default import (
        available,
        component,
        create,
        create_model,
        default_registry,
        load_model,
        replace_head,
        replace_operator,
        save_model,
        use_sampler,
    )
    from itnet_registry.errors import (
        AmbiguousNameError,
        CheckpointError,
        ComponentError,
        Fault,
        PluginError,
        RequirementError,
        UnknownNameError,
    )
    from itnet_registry.model_config import ModelConfig
    from itnet_registry.registry import Registry
    from itnet_registry.settings import Settings

__version__ = "0.1.0"

_HOME = {
    "components": ("Component",),
    "config_file": ("load_config",),
    "default": (
        "available",
        "component",
        "create",
        "create_model",
        "default_registry",
        "load_model",
        "replace_head",
        "replace_operator",
        "save_model",
        "use_sampler",
    ),
    "errors": (
        "AmbiguousNameError",
        "CheckpointError",
        "ComponentError",
        "Fault",
        "PluginError",
        "RequirementError",
        "UnknownNameError",
    ),
    "model_config": ("ModelConfig",),
    "registry": ("Registry",),
    "settings": ("Settings",),
}
_MODULE = {name: f"itnet_registry.{module}" for module, names in _HOME.items() for name in names}

__all__ = [
    "AmbiguousNameError",
    "CheckpointError",
    "Component",
    "ComponentError",
    "Fault",
    "ModelConfig",
    "PluginError",
    "Registry",
    "RequirementError",
    "Settings",
    "UnknownNameError",
    "available",
    "component",
    "create",
    "create_model",
    "default_registry",
    "load_config",
    "load_model",
    "replace_head",
    "replace_operator",
    "save_model",
    "use_sampler",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE[name]), name)
