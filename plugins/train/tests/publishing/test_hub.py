"""Push and load by the real client of the hub, against a server on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.train.tests.publishing.hub_server import HubServer

pytest.importorskip("huggingface_hub")

SESSION = """
import json, sys
from typer.testing import CliRunner
from itnet_registry.cli.app import app
for arguments in json.load(sys.stdin):
    done = CliRunner().invoke(app, arguments)
    print(json.dumps([done.exit_code, done.stdout, done.stderr]))
"""
"""Runs commands in one process, because the client reads its environment once."""


@pytest.fixture
def hub() -> Iterator[HubServer]:
    server = HubServer()
    yield server
    server.stop()


def session(hub: HubServer, folder: Path, *commands: list[str]) -> list[Any]:
    """Run commands in one process whose hub is the server, and whose cache is in the folder."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(folder / "hf"),
        "HF_TOKEN": "secret",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        input=json.dumps(commands),
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_pushed_run_is_loaded_from_the_hub_and_then_offline(hub: HubServer, learned: Path, tmp_path: Path) -> None:
    (tmp_path / "signal.json").write_text(json.dumps([0.0, 1, 0, -1] * 3))
    predict = ["predict", "hf://acme/tones", "signal.json", "--json"]
    local, refused, pushed, again, offline, answered, wrong = session(
        hub,
        tmp_path,
        ["predict", str(learned / "best"), "signal.json", "--json"],
        predict,
        ["push", str(learned), "acme/tones", "--license", "mit", "--private", "--json"],
        ["push", str(learned), "acme/tones", "--license", "mit", "--json"],
        predict,
        [*predict, "--download"],
        ["predict", "hf://acme/nothing", "signal.json", "--download"],
    )
    assert (refused[0], offline[0]) == (1, 1)
    assert "hf://acme/tones: found no copy of it in the hub's cache" in refused[2]
    assert refused[2] == offline[2]
    assert pushed[0] == again[0] == 0, pushed[2] + again[2]
    assert json.loads(pushed[1])["commit"].startswith(f"{hub.address}/acme/tones/commit/")
    assert hub.private == {"acme/tones": True}
    assert set(hub.repositories["acme/tones"]) == {"README.md", "itnet.json", "model.safetensors"}
    assert hub.repositories["acme/tones"]["model.safetensors"] == (learned / "best/model.safetensors").read_bytes()
    assert answered[0] == 0, answered[2]
    assert json.loads(answered[1]) == json.loads(local[1])
    assert wrong[0] == 1
    assert "hf://acme/nothing: found a download that failed (RepositoryNotFoundError" in wrong[2]

    hub.stop()
    requests = len(hub.requests)
    cached, asked, revision = session(
        hub,
        tmp_path,
        predict,
        [*predict, "--download"],
        ["predict", f"hf://acme/tones@{hub.commit_of('acme/tones')}", "signal.json", "--json"],
    )
    for done in (cached, asked, revision):
        assert (done[0], done[1]) == (0, local[1]), done[2]
    assert len(hub.requests) == requests


@pytest.mark.slow
def test_training_starts_from_a_model_of_the_hub(hub: HubServer, learned: Path, tmp_path: Path) -> None:
    config = {
        "model": json.loads((learned / "best/itnet.json").read_text())["config"],
        "train": {"epochs": 1, "accelerator": "cpu", "init": {"checkpoint": "hf://acme/tones"}},
    }
    (tmp_path / "tune.json").write_text(json.dumps(config))
    train = ["train", "tune.json", "--dry-run", "--json"]
    pushed, refused, downloaded, cached = session(
        hub, tmp_path, ["push", str(learned), "acme/tones"], train, [*train, "train.init.download=true"], train
    )
    assert (pushed[0], refused[0], downloaded[0], cached[0]) == (0, 1, 0, 0), downloaded[2]
    assert "download: true in train.init" in refused[2]
