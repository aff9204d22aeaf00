from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from itnet_core import DataError
from itnet_text.tasks.glue_average import glue_average, scores_of_runs

SCORES: dict[str, dict[str, float]] = {
    "cola": {"matthews": 0.1},
    "sst-2": {"accuracy": 0.9, "loss": 7.0},
    "mrpc": {"f1": 0.8, "accuracy": 0.6},
    "qqp": {"f1": 0.5, "accuracy": 0.7},
    "sts-b": {"pearson": 0.2, "spearman": 0.4},
    "mnli": {"accuracy": 0.5},
    "mnli-mismatched": {"accuracy": 0.3},
    "qnli": {"accuracy": 0.5},
    "rte": {"accuracy": 0.6},
    "wnli": {"accuracy": 0.4},
}


def write_run(folder: Path, task: str, scores: dict[str, Any], modality: str = "text") -> Path:
    (folder / "best").mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"test": scores, "validation": {}, "steps": 1}))
    manifest = {"format": 1, "config": {"tasks": {modality: {"name": task}}}}
    (folder / "best/itnet.json").write_text(json.dumps(manifest))
    return folder


def test_the_average_by_hand() -> None:
    """Two metrics of a task are averaged first, and MNLI's two parts; then all nine count alike."""
    actual = glue_average(SCORES)
    assert actual.pop("average") == pytest.approx(450 / 9)
    assert actual == pytest.approx(
        {"cola": 10, "sst-2": 90, "mrpc": 70, "qqp": 60, "sts-b": 30, "mnli": 40, "qnli": 50, "rte": 60, "wnli": 40}
    )


def test_what_is_missing_is_named() -> None:
    scores: Any = deepcopy(SCORES)
    del scores["rte"], scores["qqp"]["f1"]
    scores["sts-b"]["pearson"] = None  # as metrics.json has a number that is not finite
    with pytest.raises(DataError, match="found no rte, qqp/f1, sts-b/pearson; expected scores of all nine tasks"):
        glue_average(scores)
    with pytest.raises(DataError, match="mnli-mismatched"):
        glue_average({name: item for name, item in SCORES.items() if name != "mnli-mismatched"})


def test_scores_are_those_of_the_runs_directories(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, f"itnet-text/glue/{name}", item) for name, item in SCORES.items()]
    assert scores_of_runs(runs[::-1]) == SCORES


def test_a_directory_that_is_no_run_of_glue_is_named(tmp_path: Path) -> None:
    rte = write_run(tmp_path / "rte", "itnet-text/glue/rte", {"accuracy": 0.5})
    again = write_run(tmp_path / "again", "itnet-text/glue/rte", {"accuracy": 0.6})
    with pytest.raises(DataError, match="again: found a second run of glue/rte"):
        scores_of_runs([rte, again])
    table = write_run(tmp_path / "table", "itnet-text/text-table", {"accuracy": 0.5})
    with pytest.raises(DataError, match="table: found the task itnet-text/text-table; expected one run for each"):
        scores_of_runs([rte, table])
    image = write_run(tmp_path / "image", "itnet-image/mnist", {"accuracy": 0.5}, modality="image")
    with pytest.raises(DataError, match="image: found the task of another modality"):
        scores_of_runs([image])


@pytest.mark.parametrize("name", ["metrics.json", "best/itnet.json"])
@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_a_run_that_has_not_ended_is_refused(name: str, content: str | None, tmp_path: Path) -> None:
    run = write_run(tmp_path / "rte", "itnet-text/glue/rte", {"accuracy": 0.5})
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content)
    with pytest.raises(DataError, match="rte: found no metrics.json, or no best/itnet.json; .* run that has ended"):
        scores_of_runs([run])
