"""`itnet find-rate` and `find-batch`, which leave the user's files alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_train import train
from itnet_train.engine import batch_test
from itnet_train.engine.batch_test import BatchCost, measure_batches
from itnet_train.engine.model_run import ModelRun

Itnet = Callable[..., Any]


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_rate_is_suggested_shown_and_drawn(itnet: Itnet, config_file: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plots/rates.svg"
    result = itnet("find-rate", config_file, "--steps", "20", "--plot", plot)
    assert result.exit_code == 0, result.output
    assert "running mean" in result.stdout
    assert "suggestion: train.learning_rate=" in result.stdout
    assert "<svg" in plot.read_text()
    found = json.loads(itnet("find-rate", config_file, "--steps", "20", "--json").stdout)
    assert len(found["rates"]) == len(found["losses"]) == len(found["means"])
    assert 1e-6 < found["learning_rate"] < 1.0
    assert f"suggestion: train.learning_rate={found['learning_rate']:.1e}" in result.stdout


def test_the_files_of_a_run_stay_as_they_are(itnet: Itnet, sections: dict[str, Any], tmp_path: Path) -> None:
    train(sections, tmp_path / "run")
    before = content(tmp_path)
    for command in (("find-rate", "--steps", "10"), ("find-batch",)):
        assert itnet(command[0], tmp_path / "run", *command[1:]).exit_code == 0
    assert content(tmp_path) == before


def test_batches_double_until_the_end_of_the_data(itnet: Itnet, config_file: Path) -> None:
    result = itnet("find-batch", config_file, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [cost["batch_size"] for cost in found["sizes"]] == [1, 2, 4, 8, 16, 32, 64]
    assert found["end"] == "the training split has 96 samples"
    assert all(cost["memory"] > 2**20 and cost["samples_per_second"] > 0 for cost in found["sizes"])
    rates = {cost["batch_size"]: cost["samples_per_second"] for cost in found["sizes"]}
    enough = [size for size, rate in rates.items() if rate >= 0.95 * max(rates.values())]
    assert found["batch_size"] == min(enough)


def test_a_size_that_would_exceed_the_memory_is_not_tried(
    sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def measure(run: Any, size: int) -> BatchCost:
        tried.append(size)
        return BatchCost(size, 1.0, 100 + 10 * size, 0.01)

    monkeypatch.setattr(batch_test, "_measure", measure)
    costs, reason = measure_batches(ModelRun.from_sections(sections), memory=300.0, longest=9.0)
    assert tried == [cost.batch_size for cost in costs] == [1, 2, 4, 8, 16]  # 32 take 420; from 4 + 8: 16 take 260
    assert reason == "32 samples would take more than the memory"
    costs, reason = measure_batches(ModelRun.from_sections(sections), memory=None, longest=0.015)
    assert ([cost.batch_size for cost in costs], reason) == ([1], "a step of 2 samples would take more than 0.015 s")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no"), RuntimeError("x: can't allocate memory: you tried")])
def test_memory_that_runs_out_ends_the_search(
    sections: dict[str, Any], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    from itnet_train.engine.module import TaskModule

    step = TaskModule.training_step

    def fail(self: TaskModule, batch: Any, batch_idx: int) -> Any:
        if len(batch.batch.targets) > 4:
            raise error
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TaskModule, "training_step", fail)
    costs, reason = measure_batches(ModelRun.from_sections(sections), memory=None, longest=9.0)
    assert [cost.batch_size for cost in costs] == [1, 2, 4]
    assert reason == "8 samples take more than the memory"


def test_what_cannot_be_is_refused(itnet: Itnet, config_file: Path) -> None:
    assert "--highest is not above" in itnet("find-rate", config_file, "--lowest", "1", "--highest", "0.1").output
    assert "the suffix '.gif'" in itnet("find-rate", config_file, "--plot", "a.gif").output
    assert "less than a step of one sample takes" in itnet("find-batch", config_file, "--memory", "0.01").output
