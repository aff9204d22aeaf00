from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import itnet_zoo
from itnet_registry import create_model, installed_models, load, load_weights
from itnet_registry.checkpoints.files import CARD, MANIFEST, WEIGHTS
from itnet_registry.cli.app import app
from itnet_train import evaluate

ROOT = Path(__file__).parents[3]
PACKAGE = Path(itnet_zoo.__file__).parent
MODELS = {model.name: model for model in installed_models() if model.distribution == "itnet-zoo"}
SAMPLES: dict[str, Any] = {
    "zoo/digits": np.zeros((8, 8), np.uint8),
    "zoo/fashion": np.zeros((28, 28), np.uint8),
    "zoo/reviews": "a fine film",
    "zoo/furniture": {"points": np.random.default_rng(0).random((600, 3)), "normals": np.eye(3)[np.arange(600) % 3]},
    "zoo/vowels": np.zeros((20, 12)),
    "zoo/languages": {"array": np.zeros(8000), "sampling_rate": 8000},
}
DATA: dict[str, dict[str, str]] = {
    "zoo/digits": {},
    "zoo/fashion": {"root": "fashion-mnist"},
    "zoo/reviews": {"train": "reviews/movieReviewSnippets_GroundTruth.txt"},
    "zoo/furniture": {"root": "furniture"},
    "zoo/vowels": {"train": "series/JapaneseVowels_TRAIN.ts", "test": "series/JapaneseVowels_TEST.ts"},
    "zoo/languages": {"root": "languages"},
}
"""Options of the tasks that name files of data/, which `python examples/fetch_data.py` writes."""


def test_every_folder_is_a_model_that_the_tests_know() -> None:
    folders = {f"zoo/{path.name}" for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == MODELS.keys() == SAMPLES.keys() == DATA.keys()
    for model in MODELS.values():
        assert {path.name for path in model.path.iterdir()} == {CARD, MANIFEST, WEIGHTS}
    assert sum(path.stat().st_size for path in PACKAGE.rglob("*") if path.is_file()) < 20e6


@pytest.mark.parametrize("name", MODELS)
def test_a_model_predicts_offline(name: str) -> None:
    record = load(name, device="cpu")(SAMPLES[name])
    assert 0 <= record["probability"] <= 1
    assert len(record["likeliest"]) >= 2


@pytest.mark.parametrize("name", MODELS)
def test_a_card_names_licences_score_and_no_folder(name: str) -> None:
    model = MODELS[name]
    told = model.described()
    assert told["license"]
    assert re.fullmatch(r"accuracy 0\.\d{3}", told["score"])
    assert re.search(r"\(.+\)$", told["data"])
    for file in (CARD, MANIFEST):
        text = (model.path / file).read_text()
        assert str(ROOT) not in text
        assert "/home" not in text
    readme = (ROOT / "plugins/zoo/README.md").read_text()
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}` "))
    assert told["score"] in row
    assert told["license"] in row


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "zoo/digits" else pytest.mark.slow) for n in MODELS])
def test_the_score_of_the_card_is_reproduced(name: str) -> None:
    options = {key: str(ROOT / "data" / file) for key, file in DATA[name].items()}
    missing = [path for path in options.values() if not Path(path).exists()]
    if missing:
        pytest.skip(f"{name} needs {', '.join(missing)}: python examples/fetch_data.py")
    [index] = MODELS[name].card["model-index"]
    [result] = index["results"]
    recorded = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert evaluate(name, task=options) == pytest.approx(recorded, abs=1e-4)


def test_a_command_predicts_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (28, 28)).save("image.png")
    done = CliRunner().invoke(app, ["predict", "zoo/fashion", "image.png", "--json"])
    [answer] = json.loads(done.stdout)["predictions"]
    assert answer["prediction"]["label"]


def test_a_model_is_the_start_of_another() -> None:
    encoder = {"name": "conv-stem", "strides": [2, 2], "channels": 1}
    model = create_model("itnet-nano", encoder=encoder, head={"name": "classify", "classes": 3})
    load_weights(model, "zoo/fashion", new=["head"])
    start = load("zoo/fashion", device="cpu").model
    for name, tensor in model.trunk.state_dict().items():
        assert torch.equal(tensor, start.trunk.state_dict()[name])
