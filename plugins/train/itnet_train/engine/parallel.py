"""Processes that share a model's work."""

from __future__ import annotations

from torch import nn
from torch.distributed.device_mesh import init_device_mesh

from itnet_core import ConfigError, Trunk
from itnet_train.engine.single_modality import own_module


def share_points(model: nn.Module, processes: int, points: int, device: str) -> None:
    """Let `points` consecutive processes, of all, share the points of the model's fields.

    Raises:
        ConfigError: the model has no trunk.
    """
    trunk = getattr(own_module(model), "trunk", None)
    if not isinstance(trunk, Trunk):
        raise ConfigError(
            "train.parallel.points",
            found=f"{points}, with {type(own_module(model)).__name__}",
            expected="1, or a model with a trunk of integral operators",
        )
    mesh = init_device_mesh(device, (processes // points, points), mesh_dim_names=("data", "points"))
    trunk.group = mesh["points"].get_group()
