"""A run that is cut off and resumed gives what the uninterrupted run gives, bit for bit."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_train import train
from itnet_train.errors import RunError

Same = Callable[[Path, Path], None]
DIGITS = {
    "preset": "itnet-nano",
    "depth": 1,
    "encoder": {"name": "patch", "patch_size": 4},
    "task": {"name": "digits", "training_samples": 96, "erase": 0.5, "rand_augment": 1},
}
A_MOMENT = 1e-9  # minutes: time is up after the first step


def history(run: Path) -> list[dict[str, str]]:
    """Return the rows without the time that they took."""
    rows = list(csv.DictReader((run / "history.csv").open()))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def results(run: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name != "seconds"}


@pytest.mark.parametrize(
    ("killed_after", "options"),
    [
        # 16 fit the scales; in the second of three epochs of 96 samples: goes on from the end of the first.
        pytest.param(166, {}, marks=pytest.mark.slow),
        # In the fourth batch, of two a step, of the second epoch: goes on from its first step, the fourth in all.
        (166, {"save_every_steps": 2, "accumulate": 2}),
    ],
    ids=["from the last epoch's end", "from within an epoch"],
)
def test_a_killed_run_goes_on_exactly(
    start_itnet: Callable[..., subprocess.CompletedProcess[str]],
    config_file: Path,
    tmp_path: Path,
    assert_same_weights: Same,
    sections: dict[str, Any],
    killed_after: int,
    options: dict[str, Any],
) -> None:
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    overrides = [f"train.{name}={value}" for name, value in options.items()]
    killed = start_itnet("train", config_file, *overrides, "--output", cut, ITNET_TOY_FAULT=f"SIGKILL:{killed_after}")
    assert killed.returncode == -signal.SIGKILL
    assert [line.split()[:2] for line in killed.stderr.splitlines()[1:]] == [["epoch", "1/3"]]  # and no word of others
    assert not (cut / "metrics.json").exists()
    position = torch.load(cut / "resume/state.ckpt", weights_only=True)["TaskData"]["position"]
    assert position == ([1, 2] if options else [1, 0])

    sections["train"] |= options
    train(sections, whole)
    train(sections, cut, resume=True)
    for checkpoint in ("best", "last"):
        assert_same_weights(cut / checkpoint, whole / checkpoint)
    assert history(cut) == history(whole)
    assert results(cut) == results(whole)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_every_step_is_a_place_to_go_on_from(
    sections: dict[str, Any], tmp_path: Path, assert_same_weights: Same, accumulate: int
) -> None:
    """With accumulation over 4 of 6 batches, the second step of an epoch has 2."""
    sections["train"] |= {"epochs": 2, "accumulate": accumulate}
    steps = 2 * (6 if accumulate == 1 else 2)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert train(sections, whole)["stopped"] == "epochs"
    sections["train"]["max_minutes"] = A_MOMENT
    for step in range(1, steps + 1):
        metrics = train(sections, cut, resume=True)
        assert metrics["steps"] == step
        assert metrics["stopped"] == ("epochs" if step == steps else "max_minutes")
    assert_same_weights(cut / "last", whole / "last")


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": {"name": "sgd", "momentum": 0.9}, "schedule": {"name": "step", "every": 1}},
        {"optimizer": "muon", "schedule": {"name": "wsd", "decay": 0.5}, "layer_decay": 0.5},
        {"optimizer": "lion", "schedule": "constant"},
        {"ema": 0.9, "accumulate": 2, "batch_size": 16},
        {"trainer": {"limit_train_batches": 2}, "loggers": ["csv"], "batch_size": 16},
        {"gradient_checkpointing": True, "deterministic": True},
        pytest.param({"compile": True, "ema": 0.9}, marks=pytest.mark.slow),
        {"model": DIGITS, "mixup": 0.8, "cutmix": 1.0, "repeats": 3},
        {"schedule": {"name": "plateau", "patience": 0, "factor": 0.5}, "learning_rate": 1e-6, "epochs": 3},
    ],
    ids=str,
)
def test_a_run_is_exact_with_every_part_of_a_recipe(
    sections: dict[str, Any], tmp_path: Path, assert_same_weights: Same, options: dict[str, Any]
) -> None:
    """The run stops after each of its steps."""
    train_options = {"epochs": 2, "batch_size": 48, "warmup": 0.25, **options}
    sections["model"] = train_options.pop("model", sections["model"])
    sections["train"] |= train_options
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    steps = train(sections, whole)["steps"]
    sections["train"]["max_minutes"] = A_MOMENT
    for _ in range(steps):
        train(sections, cut, resume=True)
    for checkpoint in ("best", "last"):
        assert_same_weights(cut / checkpoint, whole / checkpoint)
    assert history(cut)[-1] == history(whole)[-1]


def test_a_run_that_is_told_to_terminate_saves_where_it_is(
    sections: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    assert_same_weights: Same,
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(sections, whole)
    monkeypatch.setenv("ITNET_TOY_FAULT", "SIGTERM:166")
    with pytest.raises(SystemExit) as caught:
        train(sections, cut)
    assert caught.value.code == 128 + signal.SIGTERM
    assert "interrupted in epoch 2; --resume continues" in capsys.readouterr().err
    assert torch.load(cut / "resume/state.ckpt", weights_only=True)["TaskData"]["position"] == [1, 4]
    monkeypatch.delenv("ITNET_TOY_FAULT")
    train(sections, cut, resume=True)
    assert_same_weights(cut / "last", whole / "last")
    assert history(cut) == history(whole)


def test_resuming_where_nothing_is_starts_the_run(sections: dict[str, Any], tmp_path: Path) -> None:
    sections["train"]["epochs"] = 1
    assert train(sections, tmp_path / "run", resume=True)["epochs"] == 1


def test_a_run_that_has_ended_is_left_alone(sections: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    metrics = train(sections, run)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert train(sections, run, resume=True) == metrics
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_patience_that_ran_out_before_the_end_does_not_start_again(sections: dict[str, Any], tmp_path: Path) -> None:
    """The run was killed while it computed the test metrics."""
    run = tmp_path / "run"
    sections["train"] |= {"epochs": 9, "learning_rate": 1e-30, "patience": 2}
    metrics = train(sections, run)
    assert metrics["stopped"] == "patience"
    assert (metrics["best_epoch"], metrics["epochs"]) == (1, 3)
    before = results(run), history(run)
    (run / "metrics.json").unlink()
    train(sections, run, resume=True)
    assert (results(run), history(run)) == before


def test_another_configuration_is_refused_with_what_differs(sections: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    sections["train"] |= {"max_minutes": A_MOMENT}
    train(sections, run)
    sections["train"] |= {"epochs": 2, "workers": 1}
    sections["model"]["kernel"]["hidden"] = 4
    with pytest.raises(RunError) as caught:
        train(sections, run, resume=True)
    actual = "model.trunk.0.kernel.hidden = 4, which was 8; train.epochs = 2, which was 3"
    assert caught.value.found == actual


def test_what_does_not_change_the_result_may_change(
    sections: dict[str, Any], tmp_path: Path, assert_same_weights: Same
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(sections, whole)
    sections["train"] |= {"max_minutes": A_MOMENT}
    train(sections, cut)
    sections["train"] |= {"max_minutes": None, "workers": 2, "log_every": 1, "save_every_steps": 1}
    train(sections, cut, resume=True)
    assert_same_weights(cut / "last", whole / "last")


@pytest.mark.parametrize(
    "schedule", ["constant", {"name": "step", "every": 2}, {"name": "plateau", "patience": 0}], ids=str
)
def test_a_run_that_has_ended_goes_on_to_more_epochs(
    sections: dict[str, Any], tmp_path: Path, assert_same_weights: Same, schedule: Any
) -> None:
    """Where the rate does not depend on the number of epochs, it ends as a run of so many does."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    sections["train"] |= {"schedule": schedule, "warmup": 0.0, "ema": 0.9}
    train(sections, whole)
    train(sections | {"train": sections["train"] | {"epochs": 1}}, cut)
    train(sections, cut, resume=True)
    for checkpoint in ("best", "last"):
        assert_same_weights(cut / checkpoint, whole / checkpoint)
    assert history(cut) == history(whole)
    assert results(cut) == results(whole)


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
def test_with_more_epochs_the_rate_is_that_of_the_longer_run(
    sections: dict[str, Any], tmp_path: Path, schedule: str
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    sections["train"] |= {"schedule": schedule, "epochs": 4}
    train(sections, whole)
    train(sections | {"train": sections["train"] | {"epochs": 2}}, cut)
    train(sections, cut, resume=True)
    rates = [[row["learning_rate"] for row in history(run)] for run in (cut, whole)]
    assert rates[0][2:] == rates[1][2:]
    assert rates[0][1] != rates[1][1]  # the end of the shorter run


def test_the_directory_of_a_run_stands_for_its_configuration(
    itnet: Callable[..., Any], config_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert itnet("train", config_file, "train.epochs=1", "--output", run).exit_code == 0
    result = itnet("train", "--resume", run, "train.epochs=2", "--json")
    assert result.exit_code == 0, result.output
    assert (json.loads(result.stdout)["epochs"], json.loads(result.stdout)["output"]) == (2, str(run))
    assert "an existing run" in itnet("train", run).stderr
    refused = itnet("train", "--resume", run, "train.epochs=1").stderr
    assert "found train.epochs = 1, which was 2" in refused
    assert "train.epochs may grow" in refused
