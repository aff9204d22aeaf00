"""AdamW in groups of parameters, and the course of the learning rate."""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim import AdamW

from itnet_core import Encoder, Kernel
from itnet_train.config import TrainConfig

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Return the parameters to train, in up to six groups.

    The parameters of `Kernel` modules and those of `Encoder` modules have learning rates of their own. Norms, biases
    and parameters of one dimension are not decayed.
    """
    modules = list(model.modules())
    encoders, kernels = _inside(modules, Encoder), _inside(modules, Kernel)
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


def _inside(modules: list[nn.Module], kind: type[nn.Module]) -> set[int]:
    return {id(p) for module in modules if isinstance(module, kind) for p in module.parameters()}


def new_optimizer(model: nn.Module, config: TrainConfig) -> AdamW:
    """Return AdamW over `parameter_groups`."""
    return AdamW(parameter_groups(model, config), lr=config.learning_rate, betas=config.betas)


def learning_rate_factor(step: int, steps: int, *, warmup: float, final: float) -> float:
    """Return the learning rate of a step as a share of the peak.

    With w = round(warmup · steps): it rises linearly, (step + 1) / w for step < w, to 1, then falls along half a cosine
    to `final`, which the last step has.

    Args:
        step: from 0.
        steps: of the whole run.
        warmup: share of the steps.
        final: as a share of the peak.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    progress = min(1.0, (step - rising) / max(1, steps - 1 - rising))
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
