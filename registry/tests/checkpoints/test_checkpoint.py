from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from itnet_core import ITNetModel
from itnet_registry import CheckpointError, Registry

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

IMAGES = torch.linspace(-1, 1, 2 * 4 * 4).reshape(2, 4, 4, 1)


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def same(one: Any, two: Any) -> bool:
    first, second = one.state_dict(), two.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) and first[name].dtype == second[name].dtype for name in first
    )


def test_what_is_loaded_is_what_was_saved_bit_by_bit(registry: Registry, model: Any, tmp_path: Path) -> None:
    registry.save_model(model, tmp_path / "a" / "checkpoint")
    loaded = registry.load_model(str(tmp_path / "a" / "checkpoint"))
    assert same(model, loaded)
    assert loaded.config == model.config
    assert not loaded.training
    assert torch.equal(model(IMAGES), loaded(IMAGES))
    assert names(tmp_path / "a") == ["checkpoint"]
    assert len({item.stat().st_mode for item in (tmp_path / "a/checkpoint").iterdir()}) == 1
    assert names(tmp_path / "a" / "checkpoint") == ["itnet.json", "model.safetensors"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types_are_kept(registry: Registry, model: Any, tmp_path: Path, dtype: torch.dtype) -> None:
    registry.save_model(model.to(dtype), tmp_path / "c")
    assert same(model, registry.load_model(tmp_path / "c"))


def test_tied_weights_stay_tied(garden: Garden, tmp_path: Path) -> None:
    parts = """
    from itnet_toy.parts import Pixels
    class Tied(Pixels):
        def __init__(self, dim, config=None, **options):
            super().__init__(dim, config, **options)
            self.again = self.linear
    """
    garden.toy()
    garden.plant(
        "acme-a",
        """
        @hookimpl
        def itnet_register_components(api):
            spec = dict(kind="encoder", name="tied", target="acme_a.parts:Tied", summary="", modality="image")
            return [ComponentSpec(**spec)]
        """,
        modules={"parts": parts},
    )
    registry = garden.registry()
    model = registry.create_model("toy", encoder="tied", heads={}).double()
    registry.save_model(model, tmp_path / "c")
    loaded: Any = registry.load_model(tmp_path / "c")
    assert same(model, loaded)
    assert loaded.encoders["image"].again.weight is loaded.encoders["image"].linear.weight


def test_the_manifest_says_where_everything_came_from(registry: Registry, model: Any, tmp_path: Path) -> None:
    registry.save_model(model, tmp_path / "c")
    manifest = json.loads((tmp_path / "c" / "itnet.json").read_text())
    assert manifest["format"] == 2
    assert manifest["config"] == model.config
    assert manifest["components"]["encoders.image"] == {
        "kind": "encoder",
        "name": "itnet-toy/pixels",
        "distribution": "itnet-toy",
        "version": "1.0",
        "config_version": 1,
    }
    assert set(manifest["components"]) == {
        "trunk.0.kernel",
        "trunk.0.sampler",
        "trunk.0.evaluator",
        "encoders.image",
        "heads.image",
        "tasks.image",
    }


def test_a_checkpoint_is_replaced(registry: Registry, model: Any, tmp_path: Path) -> None:
    registry.save_model(model, tmp_path / "c")
    torch.nn.init.zeros_(model.heads["image"].linear.weight)
    registry.save_model(model, tmp_path / "c")
    assert same(model, registry.load_model(tmp_path / "c"))
    assert names(tmp_path) == ["c", "site"]


def test_a_link_to_a_checkpoint_stays_a_link(registry: Registry, model: Any, tmp_path: Path) -> None:
    registry.save_model(model, tmp_path / "c")
    (tmp_path / "link").symlink_to(tmp_path / "c")
    registry.save_model(model, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert same(model, registry.load_model(tmp_path / "c"))


@pytest.mark.parametrize("moment", ["save_weights", "_sha256", "sync_file"])
@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_save_that_fails_loses_nothing(
    registry: Registry, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, failure: BaseException
) -> None:
    registry.save_model(model, tmp_path / "c")

    def fail(*arguments: Any, **options: Any) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(f"itnet_registry.checkpoints.checkpoint.{moment}", fail)
        with pytest.raises(CheckpointError if isinstance(failure, OSError) else type(failure)):
            registry.save_model(model, tmp_path / "c")
    assert names(tmp_path) == ["c", "site"]
    assert same(model, registry.load_model(tmp_path / "c"))


def test_a_rename_that_fails_puts_the_old_one_back(
    registry: Registry, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.save_model(model, tmp_path / "c")
    rename = Path.rename

    def fail_to_place(path: Path, target: Path) -> Path:
        if path.suffix == ".part":
            raise OSError("no room")
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail_to_place)
        with pytest.raises(CheckpointError, match="no room"):
            registry.save_model(model, tmp_path / "c")
    assert names(tmp_path) == ["c", "site"]
    assert same(model, registry.load_model(tmp_path / "c"))


def test_a_save_that_was_cut_off_says_where_the_old_one_is(registry: Registry, model: Any, tmp_path: Path) -> None:
    registry.save_model(model, tmp_path / "c")
    (tmp_path / "c").rename(tmp_path / ".c.previous")
    with pytest.raises(CheckpointError, match=r"rename .*\.c\.previous to get the last checkpoint back"):
        registry.load_model(tmp_path / "c")


def test_nothing_but_a_checkpoint_is_replaced(registry: Registry, model: Any, tmp_path: Path) -> None:
    registry.save_model(model, tmp_path / "c")
    (tmp_path / "c" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"found a directory that holds notes\.txt"):
        registry.save_model(model, tmp_path / "c")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="found a file; expected a new path"):
        registry.save_model(model, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    registry.save_model(model, tmp_path / "empty")
    assert same(model, registry.load_model(tmp_path / "empty"))


def test_a_model_without_a_configuration_is_refused(registry: Registry, model: Any, tmp_path: Path) -> None:
    by_hand = ITNetModel(dict(model.encoders), model.trunk, dict(model.heads))
    with pytest.raises(CheckpointError, match=r"ITNetModel\.config: found None"):
        registry.save_model(by_hand, tmp_path / "c")
    by_hand.config = {"width": 3}
    with pytest.raises(CheckpointError, match=r"ITNetModel\.config\.trunk: found nothing"):
        registry.save_model(by_hand, tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.filterwarnings("ignore:TypedStorage")  # safetensors looks at a sparse tensor's storage
def test_weights_that_cannot_be_stored_are_refused(registry: Registry, model: Any, tmp_path: Path) -> None:
    linear = model.heads["image"].linear
    linear.weight = torch.nn.Parameter(linear.weight.detach().to_sparse())
    with pytest.raises(CheckpointError, match="expected weights that safetensors can store"):
        registry.save_model(model, tmp_path / "c")
    assert names(tmp_path) == ["site"]


def change(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize("harm", [change, truncate])
def test_weights_that_were_changed_are_refused(
    registry: Registry, model: Any, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    registry.save_model(model, tmp_path / "c")
    harm(tmp_path / "c" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: found sha256 .*truncated or was changed"):
        registry.load_model(tmp_path / "c")


def test_a_truncated_manifest_is_refused(registry: Registry, model: Any, tmp_path: Path) -> None:
    registry.save_model(model, tmp_path / "c")
    truncate(tmp_path / "c" / "itnet.json")
    with pytest.raises(CheckpointError, match=r"itnet\.json: found invalid JSON"):
        registry.load_model(tmp_path / "c")


def test_what_is_missing_is_named(registry: Registry, model: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"found nothing; expected a directory with itnet\.json and model\.safet"):
        registry.load_model(tmp_path / "c")
    for name in ("itnet.json", "model.safetensors"):
        registry.save_model(model, tmp_path / "c")
        (tmp_path / "c" / name).unlink()
        with pytest.raises(CheckpointError, match=f"found no {name} in it"):
            registry.load_model(tmp_path / "c")
    with pytest.raises(CheckpointError, match="found a file"):
        registry.load_model(tmp_path / "c" / "itnet.json")


def test_weights_of_another_model_are_refused(registry: Registry, model: Any, tmp_path: Path) -> None:
    """A plugin that changes its modules but not its config_version: names and shapes are compared strictly."""
    import hashlib

    registry.save_model(model, tmp_path / "c")
    encoders = {"image": {"name": "pixels", "bias": False}}
    other = registry.create_model(**{**model.config, "encoders": encoders})
    registry.save_model(other, tmp_path / "other")
    weights = (tmp_path / "other" / "model.safetensors").read_bytes()
    (tmp_path / "c" / "model.safetensors").write_bytes(weights)
    manifest = json.loads((tmp_path / "c" / "itnet.json").read_text())
    manifest["sha256"] = hashlib.sha256(weights).hexdigest()
    (tmp_path / "c" / "itnet.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"encoders\.image\.linear\.bias"):
        registry.load_model(tmp_path / "c")


def test_loading_needs_nothing_of_the_process_that_saved(
    garden: Garden, model: Any, registry: Registry, tmp_path: Path
) -> None:
    registry.save_model(model, tmp_path / "c")
    torch.save(IMAGES, tmp_path / "images.pt")
    code = f"""
import torch
from itnet_registry import load_model
model = load_model({str(tmp_path / "c")!r})
print(model(torch.load({str(tmp_path / "images.pt")!r}, weights_only=True)).tolist())
"""
    done = garden.run("-c", code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == model(IMAGES).tolist()


@pytest.mark.parametrize(
    "record",
    [
        {"distribution": "--index-url=somewhere"},
        {"distribution": "acme @ https://example.org/acme.whl"},
        {"distribution": "../acme", "name": "../acme/k"},
        {"distribution": "Acme_A", "name": "Acme_A/k"},
        {"distribution": "acme-a"},
        {"name": "k"},
        {"name": "../../etc/passwd"},
        {"version": "1.0 --index-url=somewhere"},
        {"version": ""},
        {"config_version": 0},
    ],
    ids=str,
)
def test_a_record_can_name_nothing_but_a_component_of_a_distribution(
    registry: Registry, model: Any, tmp_path: Path, record: dict[str, Any]
) -> None:
    """Of records, commands are made that people paste into a shell."""
    registry.save_model(model, tmp_path / "c")
    manifest = json.loads((tmp_path / "c" / "itnet.json").read_text())
    manifest["components"]["encoders.image"] |= record
    (tmp_path / "c" / "itnet.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError) as caught:
        registry.load_model(tmp_path / "c")
    assert "pip install" not in str(caught.value)
    assert "components" in str(caught.value)


def test_a_manifest_that_is_nested_without_end_is_refused(registry: Registry, model: Any, tmp_path: Path) -> None:
    registry.save_model(model, tmp_path / "c")
    (tmp_path / "c" / "itnet.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="invalid JSON"):
        registry.load_model(tmp_path / "c")


@pytest.mark.parametrize(
    ("modality", "told"),
    [
        ("", "cannot be a module's name"),
        ("keys", "cannot be a module's name .*'keys'"),
        ("__class__", "cannot be a module's name .*'__class__'"),
        ("a.b", "records that differ"),  # a dot parts the path of a record
    ],
)
def test_a_modality_that_cannot_be_a_modules_name_is_refused(
    registry: Registry, model: Any, tmp_path: Path, modality: str, told: str
) -> None:
    registry.save_model(model, tmp_path / "c")
    manifest = json.loads((tmp_path / "c" / "itnet.json").read_text())
    for part in ("encoders", "heads", "tasks"):
        manifest["config"][part][modality] = manifest["config"][part].pop("image")
        manifest["components"][f"{part}.{modality}"] = manifest["components"].pop(f"{part}.image")
    (tmp_path / "c" / "itnet.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=told):
        registry.load_model(tmp_path / "c")


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("width", 7, "kernel"),  # four heads do not divide it
        ("width", -1, "width"),
        ("trunk.0.ffn_ratio", 1e308, "ffn_ratio"),
        ("trunk.0.repeat", 10**9, "model.safetensors"),
        ("trunk.0.kernel.heads", None, "heads"),
        ("trunk.0.kernel.position_dim", 10**12, "model.safetensors"),
        ("encoders", {}, "records that differ"),
        ("encoders.image", {"name": "itnet-toy/absent"}, "records that differ"),
    ],
)
def test_a_configuration_that_describes_no_model_is_refused(
    registry: Registry, model: Any, tmp_path: Path, path: str, value: Any, told: str
) -> None:
    registry.save_model(model, tmp_path / "c")
    manifest = json.loads((tmp_path / "c" / "itnet.json").read_text())
    *outer, last = path.split(".")
    part = manifest["config"]
    for name in outer:
        part = part[int(name) if name.isdecimal() else name]
    part[last] = value
    (tmp_path / "c" / "itnet.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=told):
        registry.load_model(tmp_path / "c")


def test_a_component_that_refuses_its_configuration_gets_a_hint_for_a_checkpoint(
    registry: Registry, model: Any, tmp_path: Path
) -> None:
    registry.save_model(model, tmp_path / "c")
    manifest = json.loads((tmp_path / "c" / "itnet.json").read_text())
    manifest["config"]["trunk"][0]["kernel"]["heads"] = 5
    (tmp_path / "c" / "itnet.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError) as caught:
        registry.load_model(tmp_path / "c")
    assert caught.value.place == f"{tmp_path / 'c'}: config.trunk.0.kernel"
    assert "itnet.json was changed after it was saved" in caught.value.hint


def test_saving_under_a_configuration_that_describes_no_model_is_refused(
    registry: Registry, model: Any, tmp_path: Path
) -> None:
    [entry] = model.config["trunk"]
    model.config = {**model.config, "trunk": [{**entry, "kernel": {**entry["kernel"], "heads": 0}}]}
    with pytest.raises(CheckpointError, match="heads"):
        registry.save_model(model, tmp_path / "c")
