"""The optimizer and its parameter groups."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from itnet_core import ConfigError, Encoder, Head, Kernel, Trunk
from itnet_core.plugin.errors import did_you_mean
from itnet_train.config import TrainConfig

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)

OWN_FIELDS = {"lr": "learning_rate", "weight_decay": "weight_decay"}
"""Options of optimizers that are fields of the section `train`."""


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Return the trainable parameters in groups of one learning rate and one weight decay.

    Parameters of `Kernel` modules and of `Encoder` modules have their own learning rates, and with `layer_decay` those
    of each block. Norms, biases and one-dimensional parameters have no weight decay. For Muon, the matrices between
    encoders and heads are groups of their own; AdamW has the others.

    Raises:
        ConfigError: `layer_decay` is set, and the model has no trunk.
    """
    modules = list(model.modules())
    encoders, kernels = _parameters_inside(modules, Encoder), _parameters_inside(modules, Kernel)
    ends = encoders | _parameters_inside(modules, Head)
    norms = {id(p) for module in modules if isinstance(module, NORMS) for p in module.parameters(recurse=False)}
    heights = {} if config.layer_decay == 1 else _heights(modules)
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
        title, height = f"{part}, {'decayed' if decayed else 'not decayed'}", heights.get(id(parameter), 0)
        group: dict[str, Any] = {
            "lr": config.learning_rate * scale * config.layer_decay**height,
            "weight_decay": config.weight_decay if decayed else 0.0,
        }
        if heights:
            title += f", {height} layers below the heads"
        if config.optimizer.name.endswith("muon"):
            group["use_fallback"] = not decayed or parameter.ndim != 2 or id(parameter) in ends
            title += f", {'AdamW' if group['use_fallback'] else 'Muon'}"
        groups.setdefault(title, {"name": title, "params": [], **group})["params"].append(parameter)
    return list(groups.values())


def _parameters_inside(modules: list[nn.Module], kind: type[nn.Module]) -> set[int]:
    return {id(p) for module in modules if isinstance(module, kind) for p in module.parameters()}


def _heights(modules: list[nn.Module]) -> dict[int, int]:
    """Return how many layers each parameter is below the heads: 1 for those of the last block, most for encoders."""
    trunk = next((module for module in modules if isinstance(module, Trunk)), None)
    if trunk is None:
        raise ConfigError("train.layer_decay", found="a model without a trunk", expected="1, or a model with a trunk")
    count = len(trunk.blocks)
    heights = {id(p): count - number for number, block in enumerate(trunk.blocks) for p in block.parameters()}
    positions = () if trunk.position is None else trunk.position.parameters()
    below = _parameters_inside(modules, Encoder) | {id(p) for p in positions}
    return heights | dict.fromkeys(below, count + 1)


def create_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """Return the optimizer that the configuration names, over `parameter_groups`.

    Raises:
        ConfigError: there is no such optimizer, or it has no such option.
    """
    groups, name, options = parameter_groups(model, config), config.optimizer.name, config.optimizer.options
    for option in options.keys() & OWN_FIELDS.keys():
        expected = f"the field train.{OWN_FIELDS[option]}"
        raise ConfigError(f"train.optimizer.{option}", found="an option of the optimizer", expected=expected)
    try:
        if name == "adamw":
            return AdamW(groups, **{"lr": config.learning_rate, "betas": config.betas, **options})
        if name == "sgd":
            return SGD(groups, lr=config.learning_rate, **options)
        return _timm_optimizer(groups, config)
    except (TypeError, ValueError, AssertionError) as error:
        found = f"{options} ({error})"
        raise ConfigError("train.optimizer", found=found, expected=f"options of {name}") from error


def _timm_optimizer(groups: list[dict[str, Any]], config: TrainConfig) -> Optimizer:
    name, options = config.optimizer.name, config.optimizer.options
    if find_spec("timm") is None:
        raise ConfigError(
            "train.optimizer",
            found=f"{name!r}, and timm is not installed",
            expected="adamw, sgd, or timm",
            hint="Install it with: pip install 'itnet-train[timm]'",
        )
    from timm.optim import create_optimizer_v2, list_optimizers  # type: ignore[attr-defined]

    names = [str(known) for known in list_optimizers()]
    if name not in names:
        expected, hint = "adamw, sgd or an optimizer of timm", did_you_mean(name, names)
        raise ConfigError("train.optimizer", found=repr(name), expected=expected, hint=hint)
    # Those of Muon's AdamW; the other optimizers keep their own.
    betas = {"betas": config.betas} if name.endswith("muon") else {}
    return create_optimizer_v2(groups, name, **{"lr": config.learning_rate, **betas, **options})
