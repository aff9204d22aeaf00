from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError, DataError
from itnet_registry import UnknownNameError, load, load_config, load_model
from itnet_registry.errors import ComponentError
from itnet_train import evaluate, train
from itnet_train.engine.model_run import ModelRun
from itnet_train.errors import NonFiniteError

Same = Callable[[Path, Path], None]
Rows = Callable[[Path], list[dict[str, float]]]
Weights = Callable[[Path], dict[str, torch.Tensor]]


def test_it_learns(learned: Path, rows: Rows) -> None:
    actual = rows(learned)
    assert actual[-1]["train_loss"] < 0.5 * actual[0]["train_loss"]
    metrics = json.loads((learned / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.8  # a guess has a third


def test_the_training_loss_is_of_its_epoch_alone(learned: Path, rows: Rows) -> None:
    """The steps of the last epoch are small, so all of it was trained with about the last weights."""
    at_the_end = evaluate(learned / "last", "train")["loss"]
    assert rows(learned)[-1]["train_loss"] == pytest.approx(at_the_end, rel=0.1)


def test_the_metrics_say_what_came_out_of_what(learned: Path, rows: Rows) -> None:
    metrics, actual = json.loads((learned / "metrics.json").read_text()), rows(learned)
    best = max(
        range(len(actual)), key=lambda row: (actual[row]["validation_accuracy"], -actual[row]["validation_loss"])
    )
    assert metrics["best_epoch"] == actual[best]["epoch"] == best + 1
    assert metrics["validation"] == {name: actual[best][f"validation_{name}"] for name in ("loss", "accuracy")}
    assert (metrics["epochs"], metrics["steps"], metrics["stopped"]) == (16, 16 * 256 // 16, "epochs")
    assert metrics["parameters"] == sum(p.numel() for p in load_model(learned / "best").parameters())
    assert metrics["seconds"] > 0
    assert metrics["versions"].keys() >= {"python", "torch", "lightning", "itnet-core", "itnet-train", "itnet-toy"}


def test_the_last_step_has_the_last_learning_rate(learned: Path, rows: Rows) -> None:
    assert rows(learned)[-1]["learning_rate"] == pytest.approx(1e-2 * 0.01)


def test_the_configuration_it_writes_is_complete_and_gives_the_same_run(
    sections: dict[str, Any], tmp_path: Path, assert_same_weights: Same
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(sections, first)
    written = load_config(first / "config.yaml")
    assert written["model"]["tasks"]["signal"] == {
        "name": "itnet-toy/tones",
        "size": 96,
        "noise": 0.05,
        "refused": None,
    }
    assert written["train"]["weight_decay"] == 0.05
    train(written, second)
    assert_same_weights(first / "last", second / "last")
    assert load_config(second / "config.yaml") == written


def test_the_seed_decides_and_workers_do_not(
    sections: dict[str, Any], tmp_path: Path, assert_same_weights: Same, weights: Weights
) -> None:
    sections["train"]["epochs"] = 1
    for name, options in (("one", {}), ("workers", {"workers": 2}), ("seed", {"seed": 1})):
        train({**sections, "train": {**sections["train"], **options}}, tmp_path / name)
    assert_same_weights(tmp_path / "one/last", tmp_path / "workers/last")
    one, other = weights(tmp_path / "one/last"), weights(tmp_path / "seed/last")
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_batch_of_accumulated_parts_counts_as_the_whole(
    sections: dict[str, Any], tmp_path: Path, weights: Weights
) -> None:
    """96 samples in 6 batches of 16 make 3 steps, as 3 batches of 32 do; without dropout, of the same gradient."""
    sections["model"]["dropout"] = 0.0
    sections["train"]["epochs"] = 1
    for name, options in (("parts", {"accumulate": 2}), ("whole", {"batch_size": 32})):
        metrics = train({**sections, "train": {**sections["train"], **options}}, tmp_path / name)
        assert metrics["steps"] == 3
    parts, whole = weights(tmp_path / "parts/last"), weights(tmp_path / "whole/last")
    for name in parts:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_not_finite_stops_the_run_and_loses_nothing(
    sections: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    assert_same_weights: Same,
    rows: Rows,
) -> None:
    """The 150th sample is in the fourth batch of the second epoch; 18 samples are looked at before."""
    run = tmp_path / "run"
    monkeypatch.setenv("ITNET_TOY_FAULT", "nan:168")
    with pytest.raises(NonFiniteError, match=r"the loss of epoch 2, batch 4 \(step 10\): found nan"):
        train(sections, run)
    assert len(rows(run)) == 1
    monkeypatch.delenv("ITNET_TOY_FAULT")
    train(sections, tmp_path / "whole")
    train(sections, run, resume=True)
    assert_same_weights(run / "last", tmp_path / "whole/last")


def test_a_validation_that_is_nan_is_not_the_best(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = type(ModelRun.from_sections(sections).tasks["signal"])
    whole = task.loss

    def loss(self: Any, prediction: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return whole(self, prediction, targets) * (1 if prediction.requires_grad else math.nan)

    monkeypatch.setattr(task, "loss", loss)
    sections["train"]["epochs"] = 2
    run = tmp_path / "run"
    with pytest.raises(NonFiniteError, match="the validation of all 2 epochs: found nan in each; expected a number"):
        train(sections, run)
    lines = capsys.readouterr().err.splitlines()
    assert [line.endswith("*") for line in lines if line.startswith("epoch")] == [False, False]
    assert not (run / "best").exists()
    assert not (run / "metrics.json").exists()
    load_model(run / "last")


def test_paths_may_be_strings(sections: dict[str, Any], tmp_path: Path) -> None:
    sections["train"]["epochs"] = 1
    metrics = train(sections, str(tmp_path / "run"))
    best = str(tmp_path / "run/best")
    assert evaluate(best) == pytest.approx(metrics["test"])
    file = tmp_path / "signal.json"
    file.write_text("[0.0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0, -1]")
    [prediction] = load(best).predict(str(file))
    assert prediction.record is not None
    assert prediction.name == str(file)


@pytest.mark.parametrize("method", ["loss", "metrics", "collate"])
def test_a_task_that_does_not_go_with_the_model_is_named_before_training(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("target 9 is out of bounds")

    monkeypatch.setattr(type(ModelRun.from_sections(sections).tasks["signal"]), method, fail)
    with pytest.raises(ComponentError, match=r": found RuntimeError: target 9 is out of bounds; expected a task whose"):
        train(sections, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_that_is_refused_is_named(sections: dict[str, Any], tmp_path: Path, workers: int) -> None:
    sections["model"]["task"] = {"name": "tones", "refused": 50}
    sections["train"]["workers"] = workers
    with pytest.raises(DataError, match="signal 50: found silence; expected a tone"):
        train(sections, tmp_path / "run")


def test_what_cannot_be_assembled_leaves_no_directory(sections: dict[str, Any], tmp_path: Path) -> None:
    sections["model"]["task"] = "tunes"
    with pytest.raises(UnknownNameError, match="Did you mean 'tones'"):
        train(sections, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_monitor_that_is_no_metric_is_refused(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(ModelRun.from_sections(sections).tasks["signal"]), "monitor", "f1")
    with pytest.raises(ConfigError, match=r"Tones\.monitor: found 'f1'; expected one of its metrics, accuracy"):
        train(sections, tmp_path / "run")


def test_a_failing_test_split_is_found_before_training(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = type(ModelRun.from_sections(sections).tasks["signal"])
    whole = task.dataset
    monkeypatch.setattr(task, "dataset", lambda self, split: [] if split == "test" else whole(self, split))
    with pytest.raises(DataError, match=r"Tones\.dataset\('test'\): found no samples"):
        train(sections, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_scales_are_initialised_from_the_data_at_the_start_alone(
    sections: dict[str, Any],
    tmp_path: Path,
    weights: Weights,
    assert_same_weights: Same,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[ModelRun] = []
    initialize = ModelRun.initialize_scales

    def initialize_and_count(run: ModelRun) -> None:
        started.append(run)
        initialize(run)

    monkeypatch.setattr(ModelRun, "initialize_scales", initialize_and_count)
    fitted = {**sections, "train": {**sections["train"], "epochs": 1}}
    plain = {**fitted, "train": {**fitted["train"], "initialize_scales": False}}
    for name, chosen in (("plain", plain), ("one", fitted), ("two", fitted)):
        train(chosen, tmp_path / name)
    assert len(started) == 2
    (tmp_path / "two/metrics.json").unlink()
    train(fitted, tmp_path / "two", resume=True)
    assert len(started) == 2
    assert_same_weights(tmp_path / "one/last", tmp_path / "two/last")
    one, other = weights(tmp_path / "one/last"), weights(tmp_path / "plain/last")
    assert any(not torch.equal(one[name], other[name]) for name in one)
