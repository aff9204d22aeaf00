"""ITNet's training engine: the Lightning trainer around a task and a model.

Names are imported on first use, so that the plugin's declarations load neither torch nor Lightning.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from itnet_train.config import TrainConfig
    from itnet_train.evaluation import evaluate
    from itnet_train.prediction import predict
    from itnet_train.run import train

__version__ = "0.1.0"

_HOME = {"TrainConfig": "config", "evaluate": "evaluation", "predict": "prediction", "train": "run"}

__all__ = ["TrainConfig", "evaluate", "predict", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"itnet_train.{_HOME[name]}"), name)
