"""Results of training on real data, for each modality: `make results`, or `python benchmarks/results.py [NAME ...]`.

Trains every configuration below (those that are trained already are only read; one that was cut off goes on), scores it
on test data that no choice has seen, and rewrites the table in docs/results.md. Two runs go on at a time, of one thread
each. The data come from `python examples/fetch_data.py all`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from provenance import provenance

ROOT = Path(__file__).parent.parent
RUNS, PAGE, START = ROOT / "runs/results", ROOT / "docs/results.md", "<!-- table -->"
ITNET = Path(sys.executable).parent / "itnet"


@dataclass(frozen=True)
class Result:
    """A row: a configuration in examples/, trained once for each set of overrides, and the mean of a test metric.

    Attributes:
        name: of the configuration.
        what: the data.
        metric: of the test split.
        simple: the accuracy of a simple model that must be beaten first, and what it is; its script prints it.
        overrides: one run for each.
    """

    name: str
    what: str
    metric: str
    simple: str = ""
    overrides: Sequence[str] = ("",)

    @property
    def commands(self) -> list[str]:
        """The command of each run, without its output directory."""
        return [f"itnet train examples/{self.name}.yaml {overrides}".strip() for overrides in self.overrides]

    def directory(self, override: str) -> Path:
        """Where a run is written."""
        return RUNS / " ".join([self.name, override]).strip().replace(" ", "-")


RESULTS = [
    Result("fashion", "image: Fashion-MNIST, 10 kinds of clothes", "accuracy"),
    Result("reviews", "text: sentiment of film reviews, from scratch", "accuracy"),
    Result("reviews_pretrained", "text: the same, over MiniLM", "accuracy", "0.79 (TF-IDF, logistic regression)"),
    Result(
        "furniture",
        "point cloud: 12 kinds of furniture, mean of 5 folds",
        "accuracy",
        "0.69 (logistic regression on simple features)",
        tuple(f"task.test_fold={fold}" for fold in range(5)),
    ),
    Result("easy_vqa", "vision and language: questions about shapes", "accuracy"),
    Result("languages", "audio: 5 languages, held-out prompts", "accuracy"),
]
JOINT = "one_trunk"


def train(job: tuple[Result, str]) -> dict[str, Any]:
    """Train, or go on, or only read; return the run's metrics."""
    result, override = job
    directory = result.directory(override)
    directory.parent.mkdir(parents=True, exist_ok=True)
    config = f"examples/{result.name}.yaml"
    command = [str(ITNET), "train", config, *override.split(), "--output", str(directory), "--resume", "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (directory.parent / f"{directory.name}.log").open("w") as log:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log)
    if done.returncode:
        raise SystemExit(f"{directory}: training failed; its last words are in {log.name}")
    metrics: dict[str, Any] = json.loads(done.stdout)
    print(f"{directory.name}: {json.dumps(metrics['test'])} in {metrics['seconds'] / 60:.1f} min", flush=True)
    return metrics


def row(result: Result, runs: Sequence[dict[str, Any]]) -> str:
    """Return a row of the table."""
    scores = [run["test"][result.metric] for run in runs]
    spread = f" ({min(scores):.3f} to {max(scores):.3f})" if len(scores) > 1 else ""
    return (
        f"| {result.what} | {result.metric} {mean(scores):.3f}{spread} | {result.simple} "
        f"| {max(run['seconds'] for run in runs) / 60:.1f} | {runs[0]['parameters']:,} | {_command(result)} |"
    )


def _command(result: Result) -> str:
    first, *more = result.commands
    return f"`{first}`" + (f" … `{more[-1].rpartition('=')[2]}`" if more else "")


def joint_table(run: dict[str, Any]) -> list[str]:
    """Return the lines of the page about the model that learned every modality."""
    scores: dict[str, list[str]] = {}
    for name, value in run["test"].items():
        modality, slash, metric = name.partition("/")
        if slash:
            scores.setdefault(modality, []).append(f"{metric} {value:.3f}")
    return [
        "",
        f"One model for all, {run['parameters']:,} parameters, trained in {run['seconds'] / 60:.1f} minutes by"
        f" `itnet train examples/{JOINT}.yaml`:",
        "",
        "| modality | test |",
        "|---|---|",
        *(f"| {modality} | {', '.join(values)} |" for modality, values in scores.items()),
    ]


def main() -> None:
    """Train what the command line names, or everything, and write the table."""
    joint = Result(JOINT, "", "score")
    known = {result.name: result for result in [joint, *RESULTS]}  # the longest first
    names = sys.argv[1:] or list(known)
    for name in names:
        if name not in known:
            raise SystemExit(f"{name}: found no such result; expected some of {', '.join(known)}")
    jobs = [(known[name], override) for name in names for override in known[name].overrides]
    with ThreadPoolExecutor(2) as pool:
        metrics = list(pool.map(train, jobs))
    if len(names) < len(known):
        return
    by_name = {name: [m for (r, _), m in zip(jobs, metrics, strict=True) if r.name == name] for name in known}
    lines = [
        START,
        f"{provenance(threads=1)}; two runs at a time. Minutes are the training time, of the longest run if there are"
        " several.",
        "",
        "| data | test | a simple model | minutes | parameters | command |",
        "|---|---|---|---|---|---|",
        *(row(result, by_name[result.name]) for result in RESULTS),
        *joint_table(by_name[JOINT][0]),
    ]
    PAGE.write_text(PAGE.read_text().partition(START)[0] + "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
