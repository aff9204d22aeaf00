"""AdamW with parameter groups, and the learning-rate schedule."""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim import AdamW

from itnet_core import Encoder, Kernel
from itnet_train.config import TrainConfig

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Return the trainable parameters in up to six groups.

    Parameters of `Kernel` modules and of `Encoder` modules have their own learning rates. Norms, biases and
    one-dimensional parameters have no weight decay.
    """
    modules = list(model.modules())
    encoders, kernels = _parameters_inside(modules, Encoder), _parameters_inside(modules, Kernel)
    norms = {id(p) for module in modules if isinstance(module, NORMS) for p in module.parameters(recurse=False)}
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part, scale = "rest", 1.0
        if id(parameter) in kernels:
            part, scale = "kernels", config.kernel_learning_rate_scale
        elif id(parameter) in encoders:
            part, scale = "encoders", config.encoder_learning_rate_scale
        decayed = parameter.ndim > 1 and id(parameter) not in norms and name.rpartition(".")[2] != "bias"
        title = f"{part}, {'decayed' if decayed else 'not decayed'}"
        empty = {
            "name": title,
            "params": [],
            "lr": config.learning_rate * scale,
            "weight_decay": config.weight_decay if decayed else 0.0,
        }
        groups.setdefault(title, empty)["params"].append(parameter)
    return list(groups.values())


def _parameters_inside(modules: list[nn.Module], kind: type[nn.Module]) -> set[int]:
    return {id(p) for module in modules if isinstance(module, kind) for p in module.parameters()}


def create_optimizer(model: nn.Module, config: TrainConfig) -> AdamW:
    """Return AdamW over `parameter_groups`."""
    return AdamW(parameter_groups(model, config), lr=config.learning_rate, betas=config.betas)


def learning_rate_factor(step: int, steps: int, *, warmup: float, final: float) -> float:
    """Return the learning rate of a step, as a fraction of the peak.

    With w = round(warmup · steps), the rate rises linearly, (step + 1) / w for step < w, and then falls along half a
    cosine from 1 to `final`, which it reaches in the last step.

    Example:
        >>> [round(learning_rate_factor(step, 6, warmup=0.5, final=0.0), 3) for step in range(6)]
        [0.333, 0.667, 1.0, 1.0, 0.5, 0.0]

    Args:
        step: the step, from 0.
        steps: steps of the whole run.
        warmup: fraction of the steps in which the rate rises.
        final: rate of the last step.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    progress = min(1.0, (step - rising) / max(1, steps - 1 - rising))
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
