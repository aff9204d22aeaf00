"""Choose a task, a model and the options of training for a user's data."""

from __future__ import annotations

import logging
import math
import warnings
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from itnet_core import DataError, Detection, Task
from itnet_registry import Component, RunSummary
from itnet_registry.api import default_registry
from itnet_registry.build.memory import machine_bytes
from itnet_registry.config.yaml_text import to_yaml
from itnet_registry.errors import one_line
from itnet_registry.plugins.requirements import pip_install
from itnet_train.commands.summary import duration, epoch_seconds, first_reading, summarize
from itnet_train.engine.model_run import ModelRun
from itnet_train.engine.rehearsal import rehearse

logger = logging.getLogger(__name__)

STEPS = 1500
"""Steps that a small model needs for a first result, about."""

FEWEST_EPOCHS, MOST_EPOCHS = 5, 60
LARGEST_BATCH = 64
BATCHES = 16
"""Batches that an epoch has at least, unless they would be smaller than eight samples."""

LAYOUTS: dict[str, tuple[tuple[str, ...], str]] = {
    "itnet-image": ((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"), "images, one folder a class"),
    "itnet-audio": ((".wav", ".flac", ".ogg"), "recordings, one folder a class"),
    "itnet-pointcloud": ((".obj", ".off", ".ply", ".stl"), "meshes, one folder a class"),
    "itnet-text": ((".csv", ".tsv", ".jsonl", ".txt"), "a table with a column `text` and a column `label`"),
    "itnet-series": ((".csv", ".tsv", ".parquet", ".ts"), "a table with a row for each step, or for each series"),
    "itnet-operators": ((".npz", ".h5", ".hdf5"), "arrays `inputs` and `targets` of each sample"),
    "itnet-graph": ((".jsonl", ".ndjson"), "a graph in each line: nodes, edges and a label"),
}
"""What the project's own distributions read, by suffixes and in words, for data that no installed task takes."""


def detect(path: Path) -> tuple[Component, Detection]:
    """Return the installed task that reads most of a folder's files, and what it found.

    Raises:
        DataError: the folder is missing, or no installed task can learn from it.
    """
    if not path.exists():
        raise DataError(str(path), found="no such folder or file", expected="your data")
    found: list[tuple[Component, Detection]] = []
    for component in default_registry().components("task"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries of tasks that are not taken
                task: type[Task] = component.load()
            detection = task.detect(path)
        except Exception as error:  # a task that fails must not hide the others
            logger.info("%s cannot look at %s: %s", component.id, path, one_line(error))
            continue
        if detection is not None and detection.configs:
            found.append((component, detection))
    if not found:
        raise _unknown_data(path)
    return max(found, key=lambda entry: entry[1].files)


def propose(component: Component, detection: Detection, minutes: float, output: str) -> tuple[str, RunSummary]:
    """Return the text of a configuration that trains in a time on this machine, and what it costs.

    The first model is taken that sees every sample five times in that time, or else the fastest.

    Raises:
        ITNetError: no model can be trained on the data.
    """
    for model, options in detection.configs:
        sections = {
            "model": {**deepcopy(dict(model)), "task": {"name": component.id, **options}},
            "train": {"epochs": 1, "learning_rate": 0.003, "warmup": 0.1},
        }
        epochs = _fit(sections, 60 * minutes)
        if epochs >= FEWEST_EPOCHS:
            break
    sections["train"]["epochs"] = max(1, epochs)
    summary = summarize(ModelRun.from_sections(sections))
    return _text(sections, detection.found, summary, output), summary


def _fit(sections: dict[str, Any], seconds: float) -> int:
    """Set the size of the batches, and return the epochs that fit into the time."""
    run = ModelRun.from_sections(sections)
    [modality] = run.tasks
    samples = len(run.data.dataset(modality, "train"))
    batch = 2 ** math.floor(math.log2(max(8, min(LARGEST_BATCH, samples / BATCHES))))
    sections["train"]["batch_size"] = batch
    run = ModelRun.from_sections(sections)
    run.check()
    costs = rehearse(run)
    while batch > 2 and (costs[modality].memory or 0) > machine_bytes() / 2:
        batch //= 2
        sections["train"]["batch_size"] = batch
        run = ModelRun.from_sections(sections)
        costs = rehearse(run)
    wanted = min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(STEPS / costs[modality].steps)))
    return min(wanted, int(max(0.0, seconds - first_reading(costs)) / epoch_seconds(run, costs)))


def _text(sections: Mapping[str, Any], found: str, summary: RunSummary, output: str) -> str:
    """Return a configuration as YAML, with comments."""
    model, train = dict(sections["model"]), sections["train"]
    task, [step] = model.pop("task"), summary.values["steps"].values()
    comments = {
        "epochs": f"about {duration(summary.values['seconds'])} on the machine that this file was written on",
        "learning_rate": "the peak; lower it if the loss jumps",
        "warmup": "share of the steps in which it rises",
        "batch_size": f"{step['steps_per_epoch']:,} steps an epoch, {duration(step['seconds'])} each",
    }
    lines = to_yaml({"train": train}).splitlines()
    commented = [f"{line}  # {c}" if (c := comments.get(line.partition(":")[0].strip())) else line for line in lines]
    return "\n".join(
        [
            f"# Written by itnet init for {found}.",
            f"# Train: itnet train {output}",
            f"# All options: itnet info {task['name']}, and https://itnet.github.io/itnet/reference/configuration/",
            to_yaml({"model": model}) + f"# {step['points']:,} points a sample; a coarser encoder is faster.",
            to_yaml({"task": task}) + "\n".join(commented),
            "",
        ]
    )


def _unknown_data(path: Path) -> DataError:
    """Return the error for data that no installed task reads, with what would read it."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    counts = Counter(file.suffix.lower() or "no suffix" for file in files)
    listed = ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common(5))
    found = f"{listed}, which no installed task reads" if files else "no files"
    known = {name: text for name, (suffixes, text) in LAYOUTS.items() if any(counts[suffix] for suffix in suffixes)}
    installed = {source.distribution for source in default_registry().discovery.sources}
    readers = known or {name: text for name, (_, text) in LAYOUTS.items()}
    hint = " ".join(
        f"{name} reads {text}" + ("." if name in installed else f": {pip_install([name])}.")
        for name, text in readers.items()
    )
    return DataError(str(path), found=found, expected="data of a task", hint=hint)
