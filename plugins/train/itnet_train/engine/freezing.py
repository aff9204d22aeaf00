"""The parts of a model that are not trained."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from itnet_core import ConfigError, freeze
from itnet_train.engine.single_modality import own_module


def freeze_parts(model: nn.Module, paths: Sequence[str]) -> None:
    """Freeze the parts at the paths of `train.freeze`; see `itnet_core.freeze`.

    Raises:
        ConfigError: the model has no such part, or no parameter is left to train.
    """
    freeze(own_module(model), paths, "train.freeze")
    if paths and not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError("train.freeze", found="all parameters", expected="at least one that is trained")


def describe_parameters(model: nn.Module) -> str:
    """Return the number of a model's parameters, and of those that are trained, for a message.

    Example:
        >>> describe_parameters(nn.Sequential(nn.Linear(99, 10), nn.Linear(10, 3).requires_grad_(False)))
        '1,033 parameters, 1,000 of them trained'
    """
    total = count_parameters(model)
    trained = count_parameters(model, trained=True)
    return f"{total:,} parameters" + ("" if trained == total else f", {trained:,} of them trained")


def count_parameters(model: nn.Module, *, trained: bool = False) -> int:
    """Return the number of a model's parameters, or of those that are trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad or not trained)
