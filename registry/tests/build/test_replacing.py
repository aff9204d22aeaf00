"""A model's head and operators are replaced, in the model and in its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError, ITNetModel
from itnet_registry import UnknownNameError, create_model, load_model, replace_head, replace_operator, save_model

FIELD = {"name": "itnet-core/field", "channels": 3}


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    head = {"name": "classify", "classes": 2}
    return create_model(width=8, depth=2, encoder=FIELD, head=head, kernel={"heads": 2}).double().eval()


def saved(model: Any, path: Path) -> Any:
    save_model(model, path)
    again = load_model(path)
    assert again.config == model.config
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    return again


def test_a_head_for_other_classes(model: Any, tmp_path: Path) -> None:
    others = {name: item.clone() for name, item in model.state_dict().items() if not name.startswith("heads")}
    replace_head(model, {"classes": 5})
    assert model.config["heads"]["field"] == {"name": "itnet-core/classify", "classes": 5}
    weight = model.heads["field"].linear.weight
    assert (weight.shape, weight.dtype, model.heads["field"].training) == ((5, 8), torch.float64, False)
    assert all(torch.equal(item, model.state_dict()[name]) for name, item in others.items())
    saved(model, tmp_path / "c")


def test_the_models_own_method_changes_its_configuration_too(model: Any, tmp_path: Path) -> None:
    model.replace_head(5)
    assert saved(model, tmp_path / "c").num_classes == 5


def test_another_head_and_a_head_where_there_was_none(tmp_path: Path) -> None:
    model: Any = create_model(width=8, depth=1, encoder=FIELD, heads={})
    replace_head(model, {"name": "regress", "outputs": 3}, "field")
    assert model.config["heads"] == {"field": {"name": "itnet-core/regress", "outputs": 3}}
    saved(model, tmp_path / "c")


def test_another_kernel(model: Any, tmp_path: Path) -> None:
    maps = model.trunk.blocks[0].operator.value.state_dict()
    replace_operator(model, kernel={"name": "mlp", "heads": 4, "hidden": 5})
    assert [block.operator.kernel.heads for block in model.trunk.blocks] == [4, 4]
    assert model.config["trunk"][0]["kernel"]["hidden"] == 5
    again = saved(model, tmp_path / "c")
    assert again.trunk.blocks[0].operator.kernel.config.heads == 4
    assert maps.keys() == model.trunk.blocks[0].operator.value.state_dict().keys()


def test_what_an_operator_has_learned_stays_where_its_shapes_do(model: Any, tmp_path: Path) -> None:
    before = {name: item.clone() for name, item in model.state_dict().items()}
    replace_operator(model, kernel={"support": {"radius": 0.5}}, evaluator="dense")
    assert model.trunk.blocks[1].operator.kernel.support.radius == 0.5
    assert model.config["trunk"][0]["evaluator"] == {"name": "itnet-core/dense"}
    assert model.config["trunk"][0]["kernel"]["heads"] == 2
    assert all(torch.equal(item, model.state_dict()[name]) for name, item in before.items())
    saved(model, tmp_path / "c")


def test_what_cannot_be_is_refused_and_changes_nothing(model: Any) -> None:
    config, state = model.config, {name: item.clone() for name, item in model.state_dict().items()}
    with pytest.raises(UnknownNameError, match="found 'clasify'"):
        replace_head(model, "clasify")
    with pytest.raises(ConfigError, match=r"model\.heads\.field\.classes: found 0"):
        replace_head(model, {"classes": 0})
    with pytest.raises(ConfigError, match=r"replace_head\(modality\): found 'image'; expected one of field"):
        replace_head(model, {"classes": 3}, "image")
    with pytest.raises(ConfigError, match=r"model\.trunk\.0\.kernel\.heads: found 0"):
        replace_operator(model, kernel={"heads": 0})
    with pytest.raises(ConfigError, match=r"model\.trunk\.0\.kernel"):
        replace_operator(model, kernel={"heads": 3})  # 8 channels are not 3 heads
    by_hand = ITNetModel(dict(model.encoders), model.trunk, dict(model.heads))
    with pytest.raises(ConfigError, match=r"ITNetModel\.config: found None"):
        replace_head(by_hand, {"classes": 3})
    assert model.config is config
    assert all(torch.equal(item, model.state_dict()[name]) for name, item in state.items())
