from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from itnet_core import ConfigError, Encoder, Kernel, parse
from itnet_registry import create_model
from itnet_train import TrainConfig
from itnet_train.engine.optimizer import create_optimizer, parameter_groups


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


def test_layer_decay_lowers_the_rates_towards_the_encoders() -> None:
    model = create_model(width=8, depth=3, encoder="signal", position="fourier", task="tones")
    groups = parameter_groups(model, TrainConfig(learning_rate=1.0, layer_decay=0.5))
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    parts = [model.encoders, model.trunk.position, *model.trunk.blocks, model.trunk.norm, model.heads]
    expected = [1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 1.0]
    assert [{rates[id(p)] for p in part.parameters()} for part in parts] == [{rate} for rate in expected]
    with pytest.raises(ConfigError, match=r"train\.layer_decay: found a model without a trunk"):
        parameter_groups(nn.Linear(2, 2), TrainConfig(layer_decay=0.5))


def test_muon_has_the_matrices_between_encoders_and_heads() -> None:
    model = create_model(width=8, depth=1, encoder="signal", task="tones")
    optimizer = create_optimizer(model, parse(TrainConfig, {"optimizer": "muon", "betas": [0.8, 0.9]}, "train"))
    muon = {id(p) for group in optimizer.param_groups if not group["use_fallback"] for p in group["params"]}
    assert muon
    assert muon == {id(p) for p in model.trunk.parameters() if p.ndim == 2}
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.9)}


@pytest.mark.parametrize(
    ("given", "name", "option"),
    [
        ("adamw", "AdamW", {"betas": (0.9, 0.999)}),
        ({"name": "sgd", "momentum": 0.9}, "SGD", {"momentum": 0.9}),
        ("lion", "Lion", {"betas": (0.9, 0.99)}),
        ({"name": "lamb", "max_grad_norm": 2.0}, "Lamb", {"max_grad_norm": 2.0}),
    ],
)
def test_optimizers_by_name_have_the_groups(given: Any, name: str, option: dict[str, Any]) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    config = parse(TrainConfig, {"optimizer": given, "weight_decay": 0.2, "learning_rate": 0.3}, "train")
    optimizer = create_optimizer(model, config)
    assert type(optimizer).__name__ == name
    assert {(group["weight_decay"], group["lr"]) for group in optimizer.param_groups} == {(0.2, 0.3), (0.0, 0.3)}
    assert optimizer.defaults.items() >= option.items()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("lyon", r"train\.optimizer: found 'lyon'.* Did you mean 'lion'\?"),
        ({"name": "sgd", "speed": 1}, r"train\.optimizer: .*speed"),
        ({"name": "lion", "speed": 1}, r"train\.optimizer: .*speed"),
        ({"name": "sgd", "lr": 1}, r"train\.optimizer\.lr: .*the field train\.learning_rate"),
    ],
)
def test_bad_optimizers_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_optimizer(nn.Linear(2, 2), parse(TrainConfig, {"optimizer": given}, "train"))


def test_without_timm_the_error_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itnet_train.engine.optimizer.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'itnet-train\[timm\]'"):
        create_optimizer(nn.Linear(2, 2), parse(TrainConfig, {"optimizer": "lion"}, "train"))
