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
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import yaml
from provenance import provenance

from itnet_core import write_atomically

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

    def find_config(self) -> str:
        """Return the file of the configuration."""
        return f"examples/{self.name}.yaml"

    @property
    def commands(self) -> list[str]:
        """The command of each run, without its output directory."""
        return [f"itnet train {self.find_config()} {overrides}".strip() for overrides in self.overrides]

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


@dataclass(frozen=True)
class Alone(Result):
    """One modality of the joint model: the same trunk, encoder, task, batches and steps, and nothing else to learn."""

    def find_config(self) -> str:
        """Make the file of the configuration of the joint one, and return it."""
        modality = self.name.rpartition(" ")[2]
        content = yaml.safe_load((ROOT / f"examples/{JOINT}.yaml").read_text())
        for section, key in (("model", "encoders"), ("model", "tasks"), ("train", "tasks")):
            options = content[section][key]
            content[section][key] = {modality: options[modality]} if modality in options else {}
        file = RUNS / f"{JOINT}-{modality}.yaml"
        write_atomically(file, yaml.safe_dump(content))
        return str(file.relative_to(ROOT))


def alone() -> list[Alone]:
    """Return the modalities of the joint model."""
    modalities = yaml.safe_load((ROOT / f"examples/{JOINT}.yaml").read_text())["model"]["tasks"]
    return [Alone(f"{JOINT} {modality}", modality, "score") for modality in modalities]


def train(job: tuple[Result, str]) -> dict[str, Any]:
    """Train, or go on, or only read; return the run's metrics."""
    result, override = job
    directory = result.directory(override)
    directory.parent.mkdir(parents=True, exist_ok=True)
    config = result.find_config()
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


def joint_table(joint: dict[str, Any], single: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return the lines of the page about the model that learned every modality, beside one model for each."""
    lines = [
        "",
        f"One model for all, {joint['parameters']:,} parameters, trained in {joint['seconds'] / 60:.1f} minutes by"
        f" `itnet train examples/{JOINT}.yaml`, and models of one modality each: the same trunk, batches and steps for"
        " that modality.",
        "",
        "| modality | metric | one model for all | alone |",
        "|---|---|---|---|",
    ]
    for name, value in joint["test"].items():
        modality, slash, metric = name.partition("/")
        if slash:
            lines.append(f"| {modality} | {metric} | {value:.3f} | {single[modality]['test'][metric]:.3f} |")
    return lines


def main() -> None:
    """Train what the command line names, or everything, and write the table."""
    joint = Result(JOINT, "", "score")
    known = {result.name: result for result in [joint, *RESULTS, *alone()]}  # the longest first
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
        *joint_table(by_name[JOINT][0], {item.what: by_name[item.name][0] for item in alone()}),
    ]
    PAGE.write_text(PAGE.read_text().partition(START)[0] + "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
