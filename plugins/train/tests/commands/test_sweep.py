"""Runs of a sweep, their comparison and their list, by the commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from itnet_registry import load_config
from itnet_train import compare, sweep
from itnet_train.storage.lock import hold_lock

Itnet = Callable[..., Any]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, _toy_is_installed: None) -> Path:
    """Two rates and two seeds, of an epoch each."""
    folder = tmp_path_factory.mktemp("sweep")
    result = sweep(SMALL, {"train.learning_rate": [1e-3, 3e-2], "train.seed": range(2)}, folder)
    assert not result.failed
    return folder


SMALL: dict[str, Any] = {
    "model": {
        "width": 8,
        "depth": 1,
        "encoder": "signal",
        "kernel": {"name": "mlp", "heads": 2, "hidden": 8},
        "task": {"name": "tones", "size": 48},
    },
    "train": {"epochs": 1, "batch_size": 16, "accelerator": "cpu", "loggers": []},
}


def metrics(run: Path) -> Any:
    return json.loads((run / "metrics.json").read_text())


def test_each_combination_has_a_run_of_its_own_name(swept: Path) -> None:
    names = {path.name for path in swept.iterdir()}
    assert names == {f"learning_rate={rate},seed={seed}" for rate in (0.001, 0.03) for seed in (0, 1)}
    for path in swept.iterdir():
        train = load_config(path / "config.yaml")["train"]
        assert path.name == f"learning_rate={train['learning_rate']},seed={train['seed']}"


def test_seeds_are_a_group_with_mean_and_deviation(swept: Path) -> None:
    groups = compare([swept])
    assert [len(group.runs) for group in groups] == [2, 2]
    assert {group.options["train.learning_rate"] for group in groups} == {0.001, 0.03}
    for group in groups:
        assert list(group.options) == ["train.learning_rate"]
        report = group.to_json()
        for split in ("test", "validation"):
            values = [metrics(run.path)[split]["loss"] for run in group.runs]
            found = report["scores"][f"{split} loss"]
            assert found["mean"] == pytest.approx(fmean(values))
            assert found["deviation"] == pytest.approx(stdev(values))
    best = [fmean(run.best["validation_accuracy"] for run in group.runs) for group in groups]
    assert best == sorted(best, reverse=True)


def test_compare_writes_a_table_json_and_a_plot(itnet: Itnet, swept: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = tmp_path / "figures/curves.svg"
    result = itnet("compare", *swept.iterdir(), "--plot", figure)
    assert result.exit_code == 0, result.output
    header, rows = result.stdout.splitlines()[1], result.stdout.splitlines()[2:]
    assert "learning_r" in header
    assert sum("±" in row for row in rows) == 2
    assert "<svg" in figure.read_text()
    assert len(json.loads(itnet("compare", swept, "--json").stdout)["groups"]) == 2
    refused = itnet("compare", swept, "--plot", tmp_path / "curves.doc")
    assert (refused.exit_code, "found the suffix '.doc'" in refused.stderr) == (2, True)
    missing = itnet("compare", tmp_path / "nothing")
    assert (missing.exit_code, "nothing: found no run" in missing.stderr) == (1, True)


def test_runs_that_have_not_ended_are_marked_and_kept_apart(itnet: Itnet, config_file: Path, tmp_path: Path) -> None:
    base = ["train", config_file, "train.epochs=2"]
    assert itnet(*base, "--output", tmp_path / "runs/whole").exit_code == 0
    assert itnet(*base, "train.max_minutes=1e-9", "train.seed=1", "--output", tmp_path / "runs/cut").exit_code == 0
    groups = compare([tmp_path / "runs"])
    assert sorted((group.name, group.runs[0].state) for group in groups) == [
        ("cut", "interrupted"),
        ("whole", "finished"),
    ]
    table = itnet("compare", tmp_path / "runs").stdout
    assert "interrupte" in table
    assert "finished" in table


def test_list_runs_shows_state_task_and_best_score(itnet: Itnet, config_file: Path) -> None:
    assert itnet("train", config_file, "train.epochs=1").exit_code == 0
    Path("runs/notes").mkdir()
    [run] = json.loads(itnet("list", "runs", "--json").stdout)["runs"]
    assert (run["path"], run["state"], run["task"]) == ("runs/toy", "finished", "itnet-toy/tones")
    assert (run["epochs"], run["of"], run["monitor"]) == (1, 1, "accuracy")
    assert run["best"] == metrics(Path("runs/toy"))["validation"]["accuracy"]
    assert run["started"].startswith("20")
    with hold_lock(Path("runs/toy/run.lock")):
        table = itnet("list", "runs").stdout
        assert "running" in table
        assert "tones" in table
    assert "nowhere: found no run" in itnet("list", "runs", "nowhere").stderr
    assert "components" in json.loads(itnet("list", "--json").stdout)  # not a list of runs


def test_a_sweep_goes_on_where_it_was_and_past_a_failure(
    itnet: Itnet, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["sweep", config_file, "model.kernel.heads=3,2", "train.epochs=1", "--output", tmp_path / "sweep"]
    result = itnet(*command)
    assert result.exit_code == 1
    assert "heads=3 failed: model.trunk.0.kernel: found dim 8 with 3 heads" in result.stderr
    assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["heads=2"]
    before = (tmp_path / "sweep/heads=2/metrics.json").stat().st_mtime_ns
    again = itnet(*command)
    assert "heads=2: this run has ended" in again.stderr
    assert (tmp_path / "sweep/heads=2/metrics.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("train.epochs=0,1", "train.epochs: found 0"),
        ("train.learning_rat=1,2", "Did you mean 'learning_rate'?"),
        ("train.learning_rate=log(1e-4,1e-2)", "Add --trials N"),
        ("train.devices=1,2", "train.devices: found 2 processes"),
    ],
)
def test_a_wrong_point_is_refused_before_the_first_run(
    itnet: Itnet, config_file: Path, tmp_path: Path, values: str, message: str
) -> None:
    result = itnet("sweep", config_file, values, "--output", tmp_path / "sweep")
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "sweep").exists()


def test_a_search_samples_and_goes_on(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    from itnet_train.commands.grid import parse_sweep

    ranges = parse_sweep(["train.learning_rate=log(1e-4,1e-1)", "model.kernel.heads=2,3"])
    first = sweep(SMALL, ranges, tmp_path, trials=2)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log")))
    study = optuna.load_study(study_name="itnet", storage=storage)
    interrupted = study.ask()  # a trial of a process that was killed
    params = {"train.learning_rate": 0.02, "model.kernel.heads": 0}
    interrupted.suggest_float("train.learning_rate", 1e-4, 1e-1, log=True)
    interrupted.suggest_categorical("model.kernel.heads", [0, 1])
    params = interrupted.params
    second = sweep(SMALL, ranges, tmp_path, trials=3)
    assert len(first.runs) + len(first.failed) == 2
    assert len(second.runs) + len(second.failed) == 1
    assert study.get_trials()[-1].params == params
    assert all("heads=3" in path.name for path in (*first.failed, *second.failed))
    complete = [trial for trial in study.get_trials() if trial.state.name == "COMPLETE"]
    values = [metrics(run)["validation"]["accuracy"] for run in (*first.runs, *second.runs)]
    assert [trial.value for trial in complete] == values
