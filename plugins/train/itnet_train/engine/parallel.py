"""Processes that share a model's points, or its parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torchmetrics import Metric

from itnet_core import Block, ConfigError, Field, Trunk
from itnet_train.config import TrainConfig
from itnet_train.engine.single_modality import own_module


def create_mesh(config: TrainConfig, device: str) -> DeviceMesh:
    """Return the mesh of all processes, with the axes `replicate`, `shard` and `points`."""
    return init_device_mesh(device, config.degrees, mesh_dim_names=("replicate", "shard", "points"))


def share_points(model: nn.Module, mesh: DeviceMesh) -> None:
    """Let the processes along `points` share the points of the model's fields.

    Raises:
        ConfigError: the model has no trunk.
    """
    trunk = getattr(own_module(model), "trunk", None)
    if not isinstance(trunk, Trunk):
        raise ConfigError(
            "train.parallel.points",
            found=f"{mesh['points'].size()}, with {type(own_module(model)).__name__}",
            expected="1, or a model with a trunk of integral operators",
        )
    trunk.group = mesh["points"].get_group()


def share_samples(scores: nn.Module, mesh: DeviceMesh) -> None:
    """Let metrics count each sample once, although the processes along `points` have the same samples."""
    groups = [mesh.mesh.flatten(0, 1)[:, point].tolist() for point in range(mesh.mesh.shape[-1])]
    group, _ = dist.new_subgroups_by_enumeration(groups)
    for metric in scores.modules():
        if isinstance(metric, Metric):
            metric.process_group = group


def share_parameters(model: nn.Module, mesh: DeviceMesh, config: TrainConfig) -> None:
    """Let the processes share the parameters of each block, and those of the rest (FSDP2).

    Processes that share points share parameters, too, since each has a part of their gradients.

    Raises:
        ConfigError: a parameter has no axis.
    """
    scalars = [name for name, parameter in model.named_parameters() if not parameter.ndim]
    if scalars:
        expected = "parameters with an axis, which processes can share"
        hint = "Make it of shape (1,), or take train.strategy = 'ddp'."
        raise ConfigError("train.strategy", found=f"'fsdp', with the number {scalars[0]}", expected=expected, hint=hint)
    groups = DeviceMesh(mesh.device_type, mesh.mesh.flatten(1), mesh_dim_names=("replicate", "shares"))
    mixed, pinned = config.precision == "bf16-mixed", mesh.device_type == "cuda"  # pinning needs its driver
    options: dict[str, Any] = {
        "mesh": groups if len(groups.mesh) > 1 else groups["shares"],
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=torch.bfloat16 if mixed else None,
            reduce_dtype=torch.float32 if mixed else None,
            cast_forward_inputs=False,  # positions keep their precision, and autocast casts what it should
        ),
        "offload_policy": CPUOffloadPolicy(pin_memory=pinned) if config.parallel.offload else OffloadPolicy(),
    }
    trunk = getattr(own_module(model), "trunk", None)
    for block in trunk.blocks if isinstance(trunk, Trunk) else ():
        _share_block(block, options)
    for part in named_blocks(model, config):
        fully_shard(part, **options)
    fully_shard(model, **options)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_reduce_scatter_unused_params(True)  # those of other modalities
            if mesh.device_type == "cpu":  # gloo has no mean
                module.set_force_sum_reduction_for_comms(True)
                module.set_gradient_divide_factor(mesh.size())


def named_blocks(model: nn.Module, config: TrainConfig) -> list[nn.Module]:
    """Return the modules whose paths `parallel.blocks` lists, the inner ones first.

    Raises:
        ConfigError: the model has a trunk, or no module of a path.
    """
    place, paths, module = "train.parallel.blocks", config.parallel.blocks, own_module(model)
    if paths and isinstance(getattr(module, "trunk", None), Trunk):
        found, expected = f"{[*paths]}, with a model with a trunk", "none: they are the trunk's"
        raise ConfigError(place, found=found, expected=expected)
    names = {name: part for name, part in module.named_modules() if name}
    patterns = {path: re.compile(re.escape(path).replace(r"\*", "[^.]+")) for path in paths}
    for path, pattern in patterns.items():
        if not any(map(pattern.fullmatch, names)):
            raise ConfigError(place, found=repr(path), expected=f"paths of modules, such as {', '.join([*names][:3])}")
    found_parts = [part for name, part in names.items() if any(p.fullmatch(name) for p in patterns.values())]
    return found_parts[::-1]


def _share_block(block: Any, options: Mapping[str, Any]) -> None:
    """Shard a block, and show the values of fields to FSDP's hooks, which look for tensors in tuples and mappings."""
    block.register_forward_pre_hook(_with_fields)
    block.register_forward_hook(_with_values)
    fully_shard(block, **options)
    block.register_forward_pre_hook(_with_tensors, prepend=True)
    block.register_forward_hook(_without_values)


def _with_tensors(block: Block, arguments: tuple[Field, Mapping[int, Field]]) -> tuple[Any, ...]:
    field, earlier = arguments
    return field.values, {number: other.values for number, other in earlier.items()}, field, earlier


def _with_fields(block: Block, arguments: tuple[Any, ...]) -> tuple[Field, Mapping[int, Field]]:
    values, others, field, earlier = arguments
    return field.with_values(values), {number: earlier[number].with_values(other) for number, other in others.items()}


def _with_values(block: Block, arguments: Any, output: Field) -> Any:
    return output.values, output


def _without_values(block: Block, arguments: Any, output: Any) -> Field:
    field: Field = output[1]
    return field


def own_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers of a model by name, and of shared ones the shares of this process.

    They share memory with the model, so that it can be changed in place.
    """
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # an evaluation leaves the root gathered, and the next pass would use its weights again
    return dict(chain(model.named_parameters(), model.named_buffers()))


def without_memory(model: nn.Module) -> nn.Module:
    """Return a copy of a model whose parameters and saved buffers take no memory, for `whole_model`."""
    saved = [item for item in model.state_dict(keep_vars=True).values() if isinstance(item, torch.Tensor)]
    return deepcopy(model, {id(tensor): _on_meta(tensor) for tensor in saved})


def _on_meta(tensor: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def whole_model(model: nn.Module, empty: nn.Module) -> nn.Module | None:
    """Return a copy of a model whose parameters are shared, with all of them, on the CPU of the first process.

    The others get `None`. The copy shares nothing with other processes, so that the first one can evaluate it alone.

    Args:
        model: the model; all processes call this together.
        empty: as `without_memory` returned it before the parameters were shared.
    """
    weights: dict[str, Any] = get_model_state_dict(
        model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    if dist.get_rank():
        return None
    whole = deepcopy(empty)
    # A gathered tensor is a view of a larger one, which would be saved with it.
    whole.load_state_dict({name: tensor.clone() for name, tensor in weights.items()}, assign=True)
    return whole
