from __future__ import annotations

import pytest
import torch
from torch import nn

from itnet_core import (
    Block,
    ClassificationHead,
    ConfigError,
    FieldEncoder,
    IntegralOperator,
    ITNetModel,
    MLPKernel,
    Trunk,
    freeze,
    part_names,
)


def model_of(depth: int = 4, norm: str = "layer") -> ITNetModel:
    trunk = Trunk(Block(IntegralOperator(8, MLPKernel(8, heads=2)), norm=norm) for _ in range(depth))  # type: ignore[arg-type]
    return ITNetModel({"field": FieldEncoder(8, channels=3)}, trunk, {"field": ClassificationHead(8, classes=3)})


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("encoder", ["encoders"]),
        ("encoder.field.linear", ["encoders.field.linear"]),
        ("encoders", ["encoders"]),
        ("head", ["heads"]),
        ("trunk", ["trunk"]),
        ("trunk.1", ["trunk.blocks.1"]),
        ("trunk.1-3", ["trunk.blocks.1", "trunk.blocks.2", "trunk.blocks.3"]),
        ("trunk.blocks.0-1.operator", ["trunk.blocks.0.operator", "trunk.blocks.1.operator"]),
    ],
)
def test_paths_are_names_of_modules_with_ranges(path: str, names: list[str]) -> None:
    assert list(part_names(model_of(), path)) == names


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("trunc", "paths.1: found 'trunc'; expected one of encoders, heads, trunk"),
        ("", "paths.1: found ''; expected one of encoders, heads, trunk"),
        ("trunk.0-9", "found 'trunk.0-9'; expected one of trunk.blocks.0-3"),
        ("trunk.0-999999999", "expected one of trunk.blocks.0-3"),
        ("trunk.3-1", "found 'trunk.3-1'; expected one of"),
        ("encoder.image", "expected one of encoders.field"),
        ("head.field.linear.weight", "expected heads.field.linear as a whole"),
    ],
)
def test_a_path_without_a_part_is_refused_with_those_that_exist(path: str, message: str) -> None:
    model = model_of()
    with pytest.raises(ConfigError, match=message):
        freeze(model, ["trunk", path])
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_frozen_parts_have_no_gradient_and_fixed_statistics() -> None:
    model = model_of(norm="batch").train()
    freeze(model, ["encoder", "trunk.0-2"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model(FieldEncoder(8, channels=3).example()).square().sum().backward()
    frozen = ("encoders.", *(f"trunk.blocks.{number}." for number in range(3)))
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith(frozen), name
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("trunk.blocks.3.") for name in changed)


def test_norms_without_running_statistics_keep_their_mode() -> None:
    model = nn.Sequential(nn.InstanceNorm1d(4), nn.Dropout(), nn.BatchNorm1d(4)).train()
    freeze(model, ["0-2"])
    assert [module.training for module in model] == [True, True, False]
