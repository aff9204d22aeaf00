"""ITNet in one package: what `itnet_registry` exports, and training if `itnet-train` is installed.

Names are imported on first use, so that `import itnet` loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import itnet_registry

if TYPE_CHECKING:
    from itnet_registry import *  # noqa: F403
    from itnet_train import evaluate as evaluate
    from itnet_train import train as train

__version__ = "0.1.0"

TRAINING = ("evaluate", "train")
"""Names of `itnet-train`, which the extra `train` installs."""

__all__ = [*itnet_registry.__all__, *TRAINING]


def __getattr__(name: str) -> Any:
    if name in itnet_registry.__all__:
        return getattr(itnet_registry, name)
    if name not in TRAINING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module("itnet_train"), name)
    except ModuleNotFoundError as error:
        if error.name != "itnet_train":
            raise
        raise ImportError(f"itnet.{name} needs itnet-train: pip install 'itnet[train]'") from None


def __dir__() -> list[str]:
    return sorted(__all__)
