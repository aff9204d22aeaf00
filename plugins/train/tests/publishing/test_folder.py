from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from itnet_core import ComponentRef
from itnet_registry import CheckpointError, load_model
from itnet_registry.checkpoints.manifest import Manifest
from itnet_train import CardFacts, evaluate, save_pretrained
from itnet_train.publishing.card import _results
from itnet_train.publishing.folder import _portable
from itnet_train.storage.record import RunRecord

FACTS = CardFacts(license="mit", data="Tones: A | B", data_license="CC0-1.0", data_source="https://example.org/tones")


def test_the_card_tells_what_the_run_measured(learned: Path, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    folder = save_pretrained(learned, tmp_path / "tones", address="hf://acme/tones", facts=FACTS)
    card = hub.ModelCard.load(folder / "README.md")
    metrics = json.loads((learned / "metrics.json").read_text())
    scores = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert scores == metrics["test"] == pytest.approx(evaluate(folder))
    assert {result.dataset_name for result in card.data.eval_results} == {"Tones: A | B"}
    assert (card.data.license, card.data.library_name) == ("mit", "itnet")
    assert card.data["itnet"] == {"parameters": metrics["parameters"], "data_license": "CC0-1.0"}
    for text in (
        'load("hf://acme/tones", download=True)',
        "itnet predict hf://acme/tones FILE --download",
        "| itnet-toy | 0.1.0 |",
        f"| torch | {torch.__version__.partition('+')[0]}",
        "| `epochs` | `16` |",
        "https://example.org/tones",
        "@misc{dhor2026itnet",
        f"{metrics['parameters']:,} parameters",
    ):
        assert text in card.text, text


def test_the_folder_predicts_as_the_run_does_and_holds_nothing_else(learned: Path, tmp_path: Path) -> None:
    folder = save_pretrained(learned, tmp_path / "new/tones")
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "itnet.json", "model.safetensors"]
    assert [file.name for file in folder.parent.iterdir()] == ["tones"]
    one, other = load_model(learned / "best").state_dict(), load_model(folder).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert 'load("tones")' in (folder / "README.md").read_text()
    assert save_pretrained(learned / "best", folder) == folder  # replaced
    assert "## Results" in (folder / "README.md").read_text()


def test_each_task_of_a_joint_model_has_its_own_scores() -> None:
    manifest: Any = SimpleNamespace(
        config=SimpleNamespace(tasks={"image": ComponentRef(name="a/digits"), "text": ComponentRef(name="a/reviews")})
    )
    test = {"loss": 0.5, "image/loss": 0.4, "image/accuracy": 0.9, "text/loss": None, "text/accuracy": 0.8}
    run = RunRecord(Path("run"), {}, {"monitor": "accuracy"}, {"test": test}, (), False)
    image, text = _results(manifest, run, CardFacts())
    assert [(metric["type"], metric["value"]) for metric in image["metrics"]] == [("accuracy", 0.9), ("loss", 0.4)]
    assert [(metric["type"], metric["value"]) for metric in text["metrics"]] == [("accuracy", 0.8)]
    assert (image["dataset"]["name"], text["dataset"]["name"]) == ("digits", "reviews")


def test_a_checkpoint_without_a_run_has_a_card_without_results(checkpoint: Path, tmp_path: Path) -> None:
    text = (save_pretrained(checkpoint, tmp_path / "tones") / "README.md").read_text()
    assert "model-index" not in text
    assert "## Results" not in text
    assert "## Use" in text


def test_no_folder_of_this_machine_is_named(learned: Path, tmp_path: Path) -> None:
    run = tmp_path / "secret" / "run"
    shutil.copytree(learned, run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("init: null", "init: {checkpoint: /home/ada/runs/best}"))
    assert "/home/ada" in (run / "config.yaml").read_text()
    manifest: dict[str, Any] = deepcopy(json.loads((run / "best/itnet.json").read_text()))
    manifest["config"]["tasks"]["signal"]["root"] = "/home/ada/tones"
    manifest["config"]["encoders"]["signal"] |= {"model": "~/bert", "vocabulary": {"/": 0}, "body": {"path": "/a/b"}}
    (run / "best/itnet.json").write_text(json.dumps(manifest))
    portable = _portable(Manifest.read(run / "best/itnet.json")).model_dump()["config"]
    assert portable["tasks"]["signal"]["root"] == "tones"
    assert portable["encoders"]["signal"]["model"] == "bert"
    assert portable["encoders"]["signal"]["vocabulary"] == {"/": 0}
    assert portable["encoders"]["signal"]["body"] == {"path": "b"}
    shutil.copytree(learned / "best", run / "best", dirs_exist_ok=True)
    folder = save_pretrained(run, tmp_path / "tones")
    for name in ("README.md", "itnet.json"):
        text = (folder / name).read_text()
        assert str(tmp_path) not in text
        assert "/home" not in text
    assert "| `init.checkpoint` | `best` |" in (folder / "README.md").read_text()


def test_what_cannot_be_published_is_refused(learned: Path, checkpoint: Path, tmp_path: Path, itnet: Any) -> None:
    with pytest.raises(CheckpointError, match="found nothing; expected a run directory with a checkpoint best"):
        save_pretrained(tmp_path / "none", tmp_path / "tones")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    with pytest.raises(CheckpointError, match=r"holds thesis.tex; expected a new folder"):
        save_pretrained(learned, tmp_path / "mine")
    damaged = tmp_path / "damaged"
    shutil.copytree(checkpoint, damaged)
    (damaged / "model.safetensors").write_bytes(b"0" * 100)
    with pytest.raises(CheckpointError, match="sha256"):
        save_pretrained(damaged, tmp_path / "tones")
    assert not (tmp_path / "tones").exists()
    assert itnet("push", learned, "acme/tones", "--output", "x").exit_code == 2


def test_a_dry_run_writes_the_folder(learned: Path, itnet: Any) -> None:
    done = itnet("push", learned, "acme/tones", "--dry-run", "--data", "Tones", "--json")
    assert json.loads(done.stdout) == {"folder": "tones"}
    assert 'load("hf://acme/tones", download=True)' in Path("tones/README.md").read_text()
