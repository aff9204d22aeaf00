from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from torch import nn

from itnet_core import ConfigError
from itnet_registry import create_model
from itnet_train import TrainConfig
from itnet_train.engine.blocks import check_blocks, prepare_blocks

AGAIN = TrainConfig(gradient_checkpointing=True)


def model(**options: Any) -> Any:
    return create_model(width=8, depth=2, encoder="signal", task="tones", **options)


def test_blocks_are_computed_again_where_that_gives_the_same() -> None:
    check_blocks(module := model(), AGAIN)
    assert not module.trunk.recompute
    prepare_blocks(module, AGAIN)
    assert module.trunk.recompute
    with pytest.raises(ConfigError, match=r"train\.gradient_checkpointing: found true, with batch norms"):
        check_blocks(model(norm="batch"), AGAIN)
    with pytest.raises(ConfigError, match=r"train\.gradient_checkpointing: found true, with Linear"):
        check_blocks(nn.Linear(2, 2), AGAIN)
    check_blocks(model(norm="batch"), TrainConfig())


def test_the_blocks_alone_are_compiled_or_a_module_without_a_trunk() -> None:
    for module, parts in ((itnet := model(), list(itnet.trunk.blocks)), (linear := nn.Linear(2, 2), [linear])):
        names = list(module.state_dict())
        prepare_blocks(module, TrainConfig(compile=True))
        assert [part for part in module.modules() if part._compiled_call_impl is not None] == parts
        assert list(module.state_dict()) == names
        assert all(part._compiled_call_impl is None for part in deepcopy(module).modules())
