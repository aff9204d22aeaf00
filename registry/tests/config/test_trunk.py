"""A trunk is a list of blocks, each with a kernel, a form and points of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import Block, ConfigError, Field, FieldEncoder, IntegralOperator, ITNetModel, MLPKernel, Trunk
from itnet_registry import create_model, load_model, replace_operator, save_model, use_sampler
from itnet_registry.api import default_registry
from itnet_registry.config.files import load_config
from itnet_registry.config.resolve import resolve

SMALL: dict[str, Any] = {"heads": 2, "hidden": 4, "rank": 2, "frequencies": 1}
FIELD: dict[str, Any] = {"encoder": {"name": "field", "channels": 3}, "heads": {}}
U_SHAPED = [
    {"norm": "batch"},
    {"width": 6, "query": {"stride": 2}},
    {"width": 6, "norm": "rms", "norm_first": False, "activation": "relu", "ffn_ratio": 0, "repeat": 3},
    {"width": 6, "query": {"latents": 5}, "stochastic_depth": 0.1},
    {"query": {"block": "encoder"}},
    {"query": {"block": 0}},
]


def model_of(trunk: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    return create_model(**{"width": 4, "kernel": SMALL, "trunk": trunk, **FIELD, **options}).eval()


def trunk_of(trunk: Any, **options: Any) -> Any:
    config = {"width": 4, "kernel": SMALL, "trunk": trunk, **FIELD, **options}
    return resolve(default_registry(), config).model_dump()["trunk"]


def image() -> Field:
    return Field.on_grid(torch.randn(2, 4, 6, 3), axes="yx")


def test_a_depth_is_a_trunk_of_one_entry() -> None:
    torch.manual_seed(0)
    by_depth = create_model(width=4, kernel=SMALL, depth=3, **FIELD)
    by_trunk, by_blocks = model_of([{"repeat": 3}]), model_of([{}, {}, {}])
    assert by_depth.config == by_trunk.config
    for other in (by_trunk, by_blocks):
        for name, tensor in by_depth.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name])


def test_a_trunk_of_one_kind_draws_its_weights_in_the_order_that_it_always_had() -> None:
    """The encoder, all operators, and then the feed-forward parts, so that seeds keep their models."""
    model = model_of([{"repeat": 2}, {}])
    torch.manual_seed(0)
    encoder = FieldEncoder(4, channels=3)
    operators = [IntegralOperator(4, MLPKernel(4, **SMALL)) for _ in range(3)]
    by_hand = ITNetModel({"field": encoder}, Trunk([Block(operator) for operator in operators]), {})
    for name, tensor in by_hand.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])


def test_what_an_entry_leaves_out_is_taken_from_the_top() -> None:
    first, second, third = trunk_of(
        [{}, {"kernel": {"heads": 1}, "ffn_ratio": 0}, {"width": 8, "kernel": {"name": "mlp", "hidden": 3}}],
        dropout=0.25,
        norm="rms",
        sampler="full",
    )
    assert (first["kernel"]["heads"], second["kernel"]["heads"], third["kernel"]["hidden"]) == (2, 1, 3)
    assert first["kernel"] == {**second["kernel"], "heads": 2} == {**third["kernel"], "hidden": 4}
    assert [entry["dropout"] for entry in (first, second, third)] == [0.25] * 3
    assert [entry["norm"] for entry in (first, second, third)] == ["rms"] * 3
    assert [entry["ffn_ratio"] for entry in (first, second, third)] == [4.5, 0, 4.5]
    assert [entry["width"] for entry in (first, second, third)] == [4, 4, 8]


def test_an_entry_may_be_the_name_of_a_kernel() -> None:
    assert trunk_of(["mlp"]) == trunk_of([{"kernel": "mlp"}]) == trunk_of([{}])


def test_the_complete_form_completes_to_itself_and_is_json() -> None:
    model = model_of(U_SHAPED)
    config = resolve(default_registry(), model.config).model_dump()
    assert config == model.config
    assert json.loads(json.dumps(config)) == config
    assert [entry["query"] for entry in config["trunk"][:2]] == [None, {"stride": 2}]


def test_depth_and_trunk_replace_each_other() -> None:
    config = {"preset": "itnet-nano", "depth": 2, **FIELD}
    assert [entry.repeat for entry in resolve(default_registry(), config).trunk] == [2]
    config = {"preset": "itnet-nano", "trunk": ["mlp", "mlp"], **FIELD}
    assert [entry.repeat for entry in resolve(default_registry(), config).trunk] == [1, 1]


def test_anchors_keep_it_short(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: {width: 4, trunk: [&block {kernel: mlp, ffn_ratio: 0}, *block, {width: 8}, *block]}")
    entries = load_config(path)["model"]["trunk"]
    assert entries[0] == entries[1] == entries[3] == {"kernel": "mlp", "ffn_ratio": 0}


WRONG: dict[str, tuple[Any, str]] = {
    "an unknown field": ([{}, {"widht": 3}], r"model\.trunk\.1\.widht: found a field .*Did you mean 'width'\?"),
    "an unknown kernel": (["mlp", "mlpp"], r"model\.trunk\.1\.kernel: found 'mlpp'"),
    "a wrong option": ([{"kernel": {"heads": 0}}], r"model\.trunk\.0\.kernel\.heads: found 0; expected greater than 0"),
    "heads that do not fit": ([{}, {"kernel": {"heads": 3}}], r"model\.trunk\.1\.kernel: found dim 4 with 3 heads"),
    "no blocks": ([], r"model\.trunk: found \[\]"),
    "no repetition": ([{"repeat": 0}], r"model\.trunk\.0\.repeat: found 0"),
    "two queries": (
        [{"query": {"stride": 2, "latents": 3}}],
        r"model\.trunk\.0\.query: .*one of stride, grid, farthest,",
    ),
    "no query": ([{"query": {}}], r"model\.trunk\.0\.query: .*one of stride, grid, farthest, latents, block"),
    "an unknown query": (
        [{"query": {"cells": 2}}],
        r"model\.trunk\.0\.query\.cells: found a field that does not exist",
    ),
    "a later block": (
        [{}, {"query": {"block": 1}}],
        r"trunk\.1\.query\.block: found 1; .*from 0 to 0, or 'encoder'",
    ),
    "an unknown norm": (
        [{"norm": "group"}],
        r"model\.trunk\.0\.norm: found 'group'; expected 'layer', 'batch', 'rms' or",
    ),
}


@pytest.mark.parametrize(("trunk", "message"), WRONG.values(), ids=WRONG)
def test_errors_name_the_block(trunk: Any, message: str) -> None:
    with pytest.raises(Exception, match=message):
        model_of(trunk)


def test_a_grid_that_is_missing_names_the_block() -> None:
    model = model_of([{}, {"query": {"stride": 2}}])
    with pytest.raises(ConfigError, match=r"^model\.trunk\.1\.query: found points without a grid; expected a grid"):
        model.features(Field(torch.randn(1, 5, 3), torch.rand(1, 5, 4)))


def test_depth_beside_a_trunk_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model\.depth: found both depth and trunk; expected depth for blocks"):
        model_of([{}], depth=2)


def test_a_u_shaped_trunk_is_saved_and_gives_its_own_points(tmp_path: Path) -> None:
    model, field = model_of(U_SHAPED), image()
    assert model.features(field).values.shape == (2, 24, 4)
    assert len(model.trunk.blocks) == 8
    save_model(model, tmp_path / "c")
    again = load_model(tmp_path / "c")
    assert again.config == model.config
    assert torch.equal(again.features(field).values, model.features(field).values)
    assert "trunk.2.kernel" in json.loads((tmp_path / "c/itnet.json").read_text())["components"]


def test_a_head_has_the_width_of_the_last_block(tmp_path: Path) -> None:
    model = model_of(
        [{"width": 8, "query": {"stride": 2}, "repeat": 2}], head={"name": "classify", "classes": 2}, heads=None
    )
    assert model(image()).shape == (2, 2)
    save_model(model, tmp_path / "c")


def test_operators_are_replaced_in_some_entries(tmp_path: Path) -> None:
    model: ITNetModel = model_of(U_SHAPED)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    replace_operator(model, kernel={"heads": 1}, evaluator="dense", blocks=[2, 4])
    assert model.config is not None
    trunk = model.config["trunk"]
    assert [entry["kernel"]["heads"] for entry in trunk] == [2, 2, 1, 2, 1, 2]
    assert [entry["evaluator"]["name"].partition("/")[2] for entry in trunk] == [
        "auto",
        "auto",
        "dense",
        "auto",
        "dense",
        "auto",
    ]
    changed = {name.split(".")[2] for name, tensor in model.state_dict().items() if not _same(tensor, before.get(name))}
    assert changed == {"2", "3", "4", "6"}
    save_model(model, tmp_path / "c")
    with pytest.raises(ConfigError, match=r"replace_operator\(blocks\): found \[6\]; expected .* from 0 to 5"):
        replace_operator(model, kernel={"heads": 1}, blocks=[6])


def _same(tensor: torch.Tensor, other: torch.Tensor | None) -> bool:
    return other is not None and tensor.shape == other.shape and torch.equal(tensor, other)


def test_a_sampler_is_replaced_in_all_blocks(tmp_path: Path) -> None:
    model: ITNetModel = model_of([{}, {"width": 6, "repeat": 2}])
    use_sampler(model, "full")
    assert model.config is not None
    assert [entry["sampler"]["name"] for entry in model.config["trunk"]] == ["itnet-core/full"] * 2
    save_model(model, tmp_path / "c")
