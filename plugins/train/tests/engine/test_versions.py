from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from itnet_registry import create_model, load_config
from itnet_train.engine.versions import model_versions


def test_they_are_of_all_that_takes_part(learned: Path) -> None:
    actual = model_versions(load_config(learned / "config.yaml")["model"])
    names = ["python", "torch", "lightning", "itnet-core", "itnet-registry", "itnet-train", "itnet-toy"]
    assert list(actual) == names
    assert actual["torch"] == version("torch")
    assert actual["itnet-toy"] == "0.1.0"


def test_they_are_of_what_an_encoder_refers_to() -> None:
    pytest.importorskip("itnet_vision_language")
    encoder = {"name": "image-text", "image": {"name": "patch", "patch_size": 4}, "text": "token"}
    model = create_model(width=8, depth=1, encoder=encoder, kernel={"heads": 2}, heads={})
    plugins = {"itnet-vision-language", "itnet-image", "itnet-text"}
    assert plugins <= model_versions(model.config or {}).keys()
