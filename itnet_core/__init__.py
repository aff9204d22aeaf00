"""ITNet: one learnable integral transform for every modality.

Names are imported on first use, so that a plugin's declarations (`itnet_core.component`, `itnet_core.hookspecs`) load
without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from itnet_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from itnet_core.auxiliary import auxiliary_losses
    from itnet_core.component import Check, CommandSpec, ComponentSpec, PresetSpec
    from itnet_core.config import ComponentConfig, Configured
    from itnet_core.encoder import Encoder
    from itnet_core.errors import ConfigError, DataError, DerivativeError, FieldError, ITNetError, ShapeError
    from itnet_core.evaluate import Evaluator
    from itnet_core.field import Field, union
    from itnet_core.head import Head
    from itnet_core.kernel import Kernel
    from itnet_core.kernels.mlp import MLPKernel
    from itnet_core.model import ITNetModel
    from itnet_core.operator import IntegralOperator
    from itnet_core.sampler import FullSampler, Nodes, Sampler
    from itnet_core.support import Support
    from itnet_core.task import Batch, Task
    from itnet_core.trunk import Block, Trunk

__version__ = "0.1.0"
API = 1
"""The plugin interface's version. Plugins written for `API` and `API - 1` are served."""

_HOME = {
    "itnet_core.auxiliary": ("auxiliary_losses",),
    "itnet_core.component": ("Check", "CommandSpec", "ComponentSpec", "PresetSpec"),
    "itnet_core.config": ("ComponentConfig", "Configured"),
    "itnet_core.encoder": ("Encoder",),
    "itnet_core.errors": ("ConfigError", "DataError", "DerivativeError", "FieldError", "ITNetError", "ShapeError"),
    "itnet_core.evaluate": ("Evaluator",),
    "itnet_core.field": ("Field", "union"),
    "itnet_core.head": ("Head",),
    "itnet_core.kernel": ("Kernel",),
    "itnet_core.kernels.mlp": ("MLPKernel",),
    "itnet_core.model": ("ITNetModel",),
    "itnet_core.operator": ("IntegralOperator",),
    "itnet_core.sampler": ("FullSampler", "Nodes", "Sampler"),
    "itnet_core.support": ("Support",),
    "itnet_core.task": ("Batch", "Task"),
    "itnet_core.trunk": ("Block", "Trunk"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "API",
    "Batch",
    "Block",
    "Check",
    "CommandSpec",
    "ComponentConfig",
    "ComponentSpec",
    "ConfigError",
    "Configured",
    "DataError",
    "DerivativeError",
    "Encoder",
    "Evaluator",
    "Field",
    "FieldError",
    "FullSampler",
    "Head",
    "ITNetError",
    "ITNetModel",
    "IntegralOperator",
    "Kernel",
    "MLPKernel",
    "Nodes",
    "PresetSpec",
    "Sampler",
    "ShapeError",
    "Support",
    "Task",
    "Trunk",
    "auxiliary_losses",
    "hookimpl",
    "union",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE[name]), name)
