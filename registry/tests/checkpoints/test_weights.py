from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from itnet_core import ConfigError, ITNetModel
from itnet_registry import CheckpointError, create_model, load_weights, save_model


def model_of(classes: int = 3, width: int = 8, depth: int = 2, channels: int = 3) -> ITNetModel:
    return create_model(
        width=width,
        depth=depth,
        kernel={"name": "mlp", "heads": 2},
        encoder={"name": "field", "channels": channels},
        head={"name": "classify", "classes": classes},
    )


@pytest.fixture
def saved(tmp_path: Path) -> tuple[ITNetModel, Path]:
    model = model_of()
    save_model(model, tmp_path / "saved")
    return model, tmp_path / "saved"


@pytest.mark.parametrize("file", ["", "model.safetensors"])
def test_all_weights_are_those_of_the_checkpoint(saved: tuple[ITNetModel, Path], file: str) -> None:
    other = model_of()
    load_weights(other, saved[1] / file)
    for name, tensor in saved[0].state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


@pytest.mark.parametrize("new", [["head"], ["head", "encoder"], ["trunk.1", "heads.field.linear"]])
def test_new_parts_keep_their_weights(saved: tuple[ITNetModel, Path], new: list[str]) -> None:
    full = {"head": "heads.", "encoder": "encoders.", "trunk.1": "trunk.blocks.1.", "heads.field.linear": "heads."}
    own, other = model_of(classes=5), model_of(classes=5)
    other.load_state_dict(own.state_dict())
    load_weights(other, str(saved[1]), new=new)
    for name, tensor in other.state_dict().items():
        kept = name.startswith(tuple(full[part] for part in new))
        assert torch.equal(tensor, (own if kept else saved[0]).state_dict()[name]), name


def test_values_take_the_type_of_the_model(saved: tuple[ITNetModel, Path]) -> None:
    other = model_of().double()
    load_weights(other, saved[1])
    for name, tensor in saved[0].state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor.double()), name


def test_a_tied_weight_needs_one_of_its_names(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model

    first, second = tied(), tied()
    save_file({k: v for k, v in first.state_dict().items() if k != "1.weight"}, tmp_path / "a.safetensors")
    load_weights(second, tmp_path / "a.safetensors")
    assert all(torch.equal(second.state_dict()[name], tensor) for name, tensor in first.state_dict().items())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"classes": 5}, r"other shapes: heads.field.linear.weight \(3, 8\), in the model \(5, 8\).*head: new"),
        ({"channels": 4, "classes": 5}, r"other shapes: encoders.field.linear.weight.*encoder: new, head: new"),
        ({"depth": 3}, r"found no trunk.blocks.2.* and \d+ more; expected .*its configuration is in its itnet.json"),
        ({"depth": 1}, r"found unexpected trunk.blocks.1.* and \d+ more; expected the tensors of the model"),
        ({"width": 16}, r"other shapes: .*trunk"),
    ],
)
def test_tensors_without_a_counterpart_are_named_and_nothing_changes(
    saved: tuple[ITNetModel, Path], other: dict[str, Any], message: str
) -> None:
    model = model_of(**other)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_weights(model, saved[1])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def changed(path: Path) -> None:
    weights = load_file(path / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, path / "model.safetensors")


def moved_into_a_run(path: Path) -> None:
    content = list(path.iterdir())
    (path / "best").mkdir()
    for file in content:
        file.rename(path / "best" / file.name)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (changed, "sha256 .*truncated or was changed"),
        (moved_into_a_run, "no model.safetensors in it; .* Did you mean .*saved/best"),
        (lambda path: (path / "model.safetensors").unlink(), "found no model.safetensors in it; expected a directory"),
        (lambda path: (path / "itnet.json").write_text("{"), "itnet.json: found invalid JSON"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    saved: tuple[ITNetModel, Path], spoil: Callable[[Path], Any], message: str
) -> None:
    spoil(saved[1])
    with pytest.raises(CheckpointError, match=message):
        load_weights(model_of(), saved[1])


def test_other_files_and_parts_are_refused(saved: tuple[ITNetModel, Path], tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"")
    (tmp_path / "short.safetensors").write_bytes(b"short")
    for name, found in (("weights.pt", "another file"), ("absent", "nothing"), ("short.safetensors", "Error")):
        with pytest.raises(CheckpointError, match=rf"{name}: found .*{found}"):
            load_weights(model_of(), tmp_path / name)
    with pytest.raises(ConfigError, match=r"load_weights\(new\): found 'hed'; expected one of encoders, heads, trunk"):
        load_weights(model_of(), saved[1], new=["hed"])
