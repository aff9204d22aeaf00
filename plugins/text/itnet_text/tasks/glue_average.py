"""Compute GLUE's average from the metrics of runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from itnet_core import DataError
from itnet_tasks import read_data

METRICS: Mapping[str, tuple[str, ...]] = {
    "cola": ("matthews",),
    "sst-2": ("accuracy",),
    "mrpc": ("f1", "accuracy"),
    "qqp": ("f1", "accuracy"),
    "sts-b": ("pearson", "spearman"),
    "mnli": ("accuracy",),
    "mnli-mismatched": ("accuracy",),
    "qnli": ("accuracy",),
    "rte": ("accuracy",),
    "wnli": ("accuracy",),
}
"""The official metrics of each task."""


def glue_average(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Compute the score of each task and their `average`, in percent, by the leaderboard's rule.

    A task's score is the mean of its metrics; MNLI's two parts count as one task; all tasks count equally.

    Args:
        scores: metrics by task and name: `{"sst-2": {"accuracy": 0.9}, …}`.

    Raises:
        DataError: a task or a metric is missing.
    """
    missing = [task for task in METRICS if task not in scores]
    missing += [
        f"{task}/{name}"  # null in metrics.json where it was not finite
        for task in METRICS
        for name in METRICS[task]
        if task in scores and scores[task].get(name) is None
    ]
    if missing:
        raise DataError("GLUE's average", found=f"no {', '.join(missing)}", expected="scores of all nine tasks")
    averages = {task: 100 * mean(scores[task][name] for name in names) for task, names in METRICS.items()}
    averages["mnli"] = mean((averages["mnli"], averages.pop("mnli-mismatched")))
    return {**averages, "average": mean(averages.values())}


def scores_of_runs(runs: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Read the test metrics of runs of `itnet train`, by GLUE's task.

    Raises:
        DataError: a directory does not hold a finished run, its task is not one of GLUE's, or two runs have the same
            task.
    """
    scores: dict[str, dict[str, float]] = {}
    for run in runs:
        try:
            metrics = json.loads(read_data(run / "metrics.json", "a run's scores"))["test"]
            tasks = json.loads(read_data(run / "best/itnet.json", "a checkpoint"))["config"]["tasks"]
        except (ValueError, KeyError, TypeError):
            found = "no metrics.json, or no best/itnet.json"
            raise DataError(str(run), found=found, expected="the directory of a run that has ended") from None
        task = tasks.get("text", {}).get("name", "")
        name = task.partition("glue/")[2]
        if name not in METRICS or name in scores:
            found = f"a second run of glue/{name}" if name in scores else f"the task {task or 'of another modality'}"
            raise DataError(str(run), found=found, expected="one run for each of GLUE's tasks")
        scores[name] = metrics
    return scores
