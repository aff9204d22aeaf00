from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from itnet_core import Encoder, Kernel
from itnet_registry import create_model
from itnet_train import TrainConfig
from itnet_train.engine.optimizer import create_optimizer, learning_rate_factor, parameter_groups


def test_groups_hold_each_parameter_once_with_its_rate_and_decay() -> None:
    model = create_model(width=8, depth=2, encoder="signal", kernel={"name": "mlp", "heads": 2}, task="tones")
    config = TrainConfig(
        learning_rate=1e-3, kernel_learning_rate_scale=0.1, encoder_learning_rate_scale=0.5, weight_decay=0.3
    )
    groups = parameter_groups(model, config)
    assert len(groups) == 6
    settings = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(settings) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for module in model.modules():
        if isinstance(module, Kernel):
            assert {round(settings[id(p)][0], 9) for p in module.parameters()} == {1e-4}
        if isinstance(module, Encoder):
            assert {round(settings[id(p)][0], 9) for p in module.parameters()} == {5e-4}
        if isinstance(module, nn.LayerNorm):
            assert {settings[id(p)] for p in module.parameters()} == {(1e-3, 0.0)}
    linear = model.heads["signal"].get_submodule("linear")
    assert settings[id(linear.weight)] == (1e-3, 0.3)
    assert settings[id(linear.bias)] == (1e-3, 0.0)


def test_norms_of_several_dimensions_and_frozen_parameters() -> None:
    model = nn.Sequential(nn.LayerNorm([3, 4]), nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 4))
    groups = {group["name"]: group["params"] for group in parameter_groups(model, TrainConfig())}
    assert groups.keys() == {"rest, decayed", "rest, not decayed"}
    assert [p is model[2].weight for p in groups["rest, decayed"]] == [True]
    assert len(groups["rest, not decayed"]) == 3


def test_the_optimizer_has_the_betas() -> None:
    assert create_optimizer(nn.Linear(2, 2), TrainConfig(betas=(0.8, 0.9))).defaults["betas"] == (0.8, 0.9)


def test_values_of_warmup_and_cosine() -> None:
    factors = [learning_rate_factor(step, 14, warmup=4 / 14, final=0.1) for step in range(14)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0  # the cosine begins at its peak
    assert factors[13] == pytest.approx(0.1)
    middle = [learning_rate_factor(step, 11, warmup=0.0, final=0.2) for step in (0, 5, 10)]
    assert middle == pytest.approx([1.0, 0.6, 0.2])


@given(steps=st.integers(1, 200), warmup=st.floats(0, 0.99), final=st.floats(0, 1))
def test_it_rises_then_falls_within_its_bounds(steps: int, warmup: float, final: float) -> None:
    factors = [learning_rate_factor(step, steps, warmup=warmup, final=final) for step in range(steps + 1)]
    rising = round(warmup * steps)
    assert factors[:rising] == sorted(factors[:rising])
    assert factors[rising:] == sorted(factors[rising:], reverse=True)
    assert all(0 < factor <= 1 for factor in factors[:rising])
    assert all(final - 1e-12 <= factor <= 1 for factor in factors[rising:])
