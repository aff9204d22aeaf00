"""A model's sampler is replaced: in all operators, in its configuration, and with what it had learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError, FullSampler
from itnet_registry import UnknownNameError, create_model, load_model, save_model, use_sampler

LEARNED = {"name": "itnet-samplers/monte-carlo", "points": 5, "proposal": "learned"}


@pytest.fixture
def model() -> Any:
    pytest.importorskip("itnet_samplers")
    torch.manual_seed(0)
    encoder = {"name": "itnet-core/field", "channels": 3}
    return create_model(width=8, depth=2, encoder=encoder, heads={}, kernel={"heads": 2}, sampler=LEARNED).eval()


def test_all_operators_have_it_and_the_checkpoint_says_so(model: Any, tmp_path: Path) -> None:
    use_sampler(model, "full")
    assert all(isinstance(block.operator.sampler, FullSampler) for block in model.trunk.blocks)
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.config is not None
    assert again.config["trunk"][0]["sampler"] == {"name": "itnet-core/full"}
    assert again.state_dict().keys() == model.state_dict().keys()


def test_options_are_merged_and_learned_weights_are_kept(model: Any) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    use_sampler(model, {"name": "monte-carlo", "points": 7})
    sampler = model.trunk.blocks[1].operator.sampler
    assert (sampler.config.points, sampler.learned, sampler.training) == (7, True, False)
    assert model.config["trunk"][0]["sampler"]["proposal"] == "learned"
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_what_cannot_be_is_refused_and_changes_nothing(model: Any) -> None:
    config = model.config
    with pytest.raises(UnknownNameError, match="found 'ful'"):
        use_sampler(model, "ful")
    with pytest.raises(ConfigError, match=r"sampler\.points: found 0"):
        use_sampler(model, {"name": "monte-carlo", "points": 0})
    assert model.config == config
    assert all(block.operator.sampler.learned for block in model.trunk.blocks)
