"""Runs of two processes of which one is killed or told to end: they say so, and resume exactly."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

Same = Callable[[Path, Path], None]
Start = Callable[..., subprocess.CompletedProcess[str]]
STOPPED = 128 + signal.SIGTERM
SHARED = ("train.strategy=fsdp", "train.ema=0.9")


@pytest.fixture
def two(tmp_path: Path, sections: dict[str, Any]) -> Path:
    """A configuration for two processes: 3 epochs of 6 steps of 2 · 8 samples."""
    sections["train"] |= {"devices": 2, "batch_size": 8, "save_every_steps": 1}
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump(sections))
    return path


@pytest.fixture
def assert_same_runs(assert_same_weights: Same, rows: Callable[[Path], list[dict[str, float]]]) -> Same:
    """Assert that two runs have the same weights and the same history."""

    def check(cut: Path, whole: Path) -> None:
        assert_same_weights(cut / "last", whole / "last")
        histories = [[{**row, "seconds": 0.0} for row in rows(run)] for run in (cut, whole)]
        assert histories[0] == histories[1]

    return check


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("SIGTERM:90:1", STOPPED, "interrupted in epoch 2; --resume continues from the last saved state"),
        pytest.param("SIGKILL:90:1", 1, "process 1 of 2, pid", marks=pytest.mark.slow),
        pytest.param("SIGTERM:90:0", STOPPED, "interrupted in epoch 2", marks=pytest.mark.slow),
        pytest.param("SIGUSR1:90:1", STOPPED, "interrupted in epoch 2", marks=pytest.mark.slow),
        pytest.param("SIGKILL:90:0", -signal.SIGKILL, "another process is lost", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_loses_a_process_says_so_and_resumes_exactly(
    start_itnet: Start, two: Path, tmp_path: Path, assert_same_runs: Same, fault: str, code: int, message: str
) -> None:
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    ended = start_itnet("train", two, "--output", cut, ITNET_TOY_FAULT=fault)
    assert ended.returncode == code, ended.stderr
    assert message in ended.stderr
    if "pid" in message:
        assert "found killed by SIGKILL; expected 2 processes until the end" in ended.stderr
        assert "Traceback" not in ended.stderr
    epoch, batches = torch.load(cut / "resume/state.ckpt", weights_only=True)["TaskData"]["position"]
    assert epoch == 1
    assert batches >= 1
    assert start_itnet("train", two, "--output", cut, "--resume").returncode == 0
    assert start_itnet("train", two, "--output", whole).returncode == 0
    assert_same_runs(cut, whole)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["SIGTERM:90:1", "SIGKILL:90:1"])
def test_a_run_of_shared_parameters_resumes_exactly(
    start_itnet: Start, two: Path, tmp_path: Path, assert_same_runs: Same, fault: str
) -> None:
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    assert start_itnet("train", two, *SHARED, "--output", cut, ITNET_TOY_FAULT=fault).returncode != 0
    state = torch.load(cut / "resume/state.ckpt", weights_only=True)
    assert (cut / "resume" / state["shards"]).is_dir()
    assert start_itnet("train", two, *SHARED, "--output", cut, "--resume").returncode == 0
    assert start_itnet("train", two, *SHARED, "--output", whole).returncode == 0
    assert_same_runs(cut, whole)
    assert len([*(cut / "resume").iterdir()]) == 2  # no shares of a killed save are left


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), SHARED], ids=["ddp", "fsdp"])
def test_fifty_kills_change_nothing(
    start_itnet: Start, two: Path, tmp_path: Path, assert_same_runs: Same, options: tuple[str, ...]
) -> None:
    cut, whole, draw = tmp_path / "cut", tmp_path / "whole", random.Random(0)
    longer = ["train.epochs=24", *options, "--output"]
    before_training = (-signal.SIGTERM, -signal.SIGUSR1)
    for kill in range(50):
        fault = f"{draw.choice(['SIGKILL', 'SIGTERM', 'SIGUSR1'])}:{draw.randrange(8, 24)}:{draw.randrange(2)}"
        ended = start_itnet("train", two, *longer, cut, "--resume", ITNET_TOY_FAULT=fault)
        assert ended.returncode in (1, STOPPED, -signal.SIGKILL, *before_training), (kill, fault, ended.stderr)
    assert start_itnet("train", two, *longer, cut, "--resume").returncode == 0
    assert start_itnet("train", two, *longer, whole).returncode == 0
    assert_same_runs(cut, whole)
