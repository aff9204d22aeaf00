"""A model that is not what its configuration says is not saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from itnet_core import DenseEvaluator, Field, FullSampler, MLPKernel, Sampler
from itnet_core.models.head import ClassificationHead
from itnet_registry import CheckpointError, Registry

if TYPE_CHECKING:
    pass


class Halves(Sampler):
    """No sampler of any plugin."""

    def forward(self, query: Field, key: Field) -> Field:
        return key


def another_head(model: Any) -> None:
    model.heads["image"] = ClassificationHead(16, classes=5)


def a_head_of_another_width(model: Any) -> None:
    model.heads["image"].linear = nn.Linear(16, 7)


def a_head_that_is_none(model: Any) -> None:
    model.heads["image"] = nn.Linear(16, 2)


def no_head(model: Any) -> None:
    del model.heads["image"]


def one_more_head(model: Any) -> None:
    model.heads["text"] = ClassificationHead(16, classes=2)


def another_kernel_in_one_block(model: Any) -> None:
    model.trunk.blocks[1].operator.kernel = MLPKernel(16, heads=2)


def another_sampler(model: Any) -> None:
    model.trunk.blocks[0].operator.sampler = Halves(16)


def another_encoder(model: Any) -> None:
    model.encoders["image"] = type(model.encoders["image"])(16, channels=1, bias=False)


def one_more_block(model: Any) -> None:
    model.trunk.blocks.append(model.trunk.blocks[0])


def one_block_less(model: Any) -> None:
    del model.trunk.blocks[1]


def a_buffer(model: Any) -> None:
    model.register_buffer("seen", torch.zeros(3))


def a_wrapped_trunk(model: Any) -> None:
    model.trunk.norm = nn.Sequential(model.trunk.norm)


def another_configuration(model: Any) -> None:
    model.config = {**model.config, "trunk": [{**model.config["trunk"][0], "ffn_ratio": 2.0}]}


CHANGES: dict[Callable[[Any], None], str] = {
    another_head: r"ITNetModel\.heads\['image'\]: found classes=5; expected classes=2, .* Use replace_head",
    a_head_of_another_width: r"heads\.image\.linear\.weight \(7, 16\).*expected .*\(2, 16\)",
    a_head_that_is_none: r"heads\['image'\]: found Linear; expected itnet-core/classify",
    no_head: r"heads\['image'\]: found nothing; expected itnet-core/classify",
    one_more_head: r"found heads\.text\.linear\.weight \(2, 16\).*; expected .*absent",
    another_kernel_in_one_block: r"blocks\[1\]\.operator\.kernel: found heads=2; expected heads=4.*replace_operator",
    another_sampler: r"blocks\[0\]\.operator\.sampler: found Halves; expected itnet-core/full.*use_sampler",
    another_encoder: r"encoders\['image'\]: found bias=False; expected bias=True",
    one_more_block: r"found trunk\.blocks\.2\.",
    one_block_less: r"found trunk\.blocks\.1\..* absent",
    a_buffer: r"found seen \(3,\); expected as in its config, absent",
    a_wrapped_trunk: r"trunk\.norm\.0\.weight",
    another_configuration: r"blocks\.0\.ffn\.0\.weight \(72, 16\).*expected .*\(32, 16\)",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_model_that_was_changed_beside_its_configuration_is_not_saved(
    registry: Registry, model: Any, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    registry.save_model(model, tmp_path / "c")
    before = (tmp_path / "c" / "itnet.json").read_bytes()
    change(model)
    with pytest.raises(CheckpointError, match=CHANGES[change]):
        registry.save_model(model, tmp_path / "c")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["c", "site"]
    assert (tmp_path / "c" / "itnet.json").read_bytes() == before
    registry.load_model(tmp_path / "c")


def test_another_evaluator_computes_the_same(registry: Registry, model: Any, tmp_path: Path) -> None:
    for block in model.trunk.blocks:
        block.operator.evaluator = DenseEvaluator()
        block.operator.sampler = FullSampler(16)
    registry.save_model(model, tmp_path / "c")
    assert registry.load_model(tmp_path / "c").config == model.config


def test_saving_draws_no_random_numbers(registry: Registry, model: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    registry.save_model(model, tmp_path / "c")
    assert torch.equal(torch.rand(3), expected)
