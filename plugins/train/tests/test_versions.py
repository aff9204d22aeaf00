from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from itnet_registry import load_config
from itnet_train.versions import versions


def test_they_are_of_all_that_takes_part(learned: Path) -> None:
    found = versions(load_config(learned / "config.yaml")["model"])
    names = ["python", "torch", "lightning", "itnet-core", "itnet-registry", "itnet-train", "itnet-toy"]
    assert list(found) == names
    assert found["torch"] == version("torch")
    assert found["itnet-toy"] == "0.1.0"
