"""Compilation and gradient checkpointing of a trunk's blocks."""

from __future__ import annotations

from torch import nn

from itnet_core import ConfigError, Trunk
from itnet_train.config import TrainConfig
from itnet_train.engine.single_modality import own_module


def check_blocks(model: nn.Module, config: TrainConfig) -> None:
    """Check that the blocks can be computed again in the backward pass, if they are to be.

    Raises:
        ConfigError: the model has no trunk, or batch norms in its blocks.
    """
    if not config.gradient_checkpointing:
        return
    place, trunk = "train.gradient_checkpointing", getattr(own_module(model), "trunk", None)
    if not isinstance(trunk, Trunk):
        found, expected = f"true, with {type(own_module(model)).__name__}", "false, or a model with a trunk"
        raise ConfigError(place, found=found, expected=expected)
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in trunk.blocks.modules()):
        found = "true, with batch norms in blocks, which would count each batch twice"
        raise ConfigError(place, found=found, expected="false, or other norms")


def prepare_blocks(model: nn.Module, config: TrainConfig) -> None:
    """Compile the blocks of the model's trunk, or a module without one as a whole, and have the blocks recomputed."""
    module = own_module(model)
    trunk = getattr(module, "trunk", None)
    if config.compile:
        for part in trunk.blocks if isinstance(trunk, Trunk) else [module]:
            part.compile(dynamic=False)  # or the sizes that a resumed run sees first would decide how it rounds
    if config.gradient_checkpointing and isinstance(trunk, Trunk):
        trunk.recompute = True
