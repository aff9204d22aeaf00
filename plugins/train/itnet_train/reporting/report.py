"""Collects what the report of a run shows, and writes it."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from itnet_core import Encoder, ITNetModel, Split, Task, write_atomically
from itnet_registry import load_model
from itnet_registry.build.predictions import check_predictions
from itnet_registry.build.tasks import create_tasks
from itnet_registry.errors import os_errors_as
from itnet_train.errors import RunError
from itnet_train.reporting.sample_results import SampleResult, sample_results
from itnet_train.storage.directory import RunDirectory
from itnet_train.storage.formats import to_json
from itnet_train.storage.record import RunRecord

LARGEST = 60
"""Number of classes up to which the whole confusion matrix is shown."""

PAIRS, EACH = 40, 4
"""Pairs of confused classes of which samples are shown, and their number."""


def report(
    run: str | PathLike[str],
    split: Split = "test",
    *,
    task: Mapping[str, Any] | None = None,
    samples: int = 24,
    batch_size: int = 64,
    output: str | PathLike[str] | None = None,
) -> Path:
    """Write `report.html` of a run: learning curves, and of the best checkpoint a confusion matrix and worst samples.

    The page is one file that needs neither a server nor a network. A run that has not ended has a report of its best
    checkpoint so far.

    Example:
        >>> from itnet_train import train
        >>> encoder = {"name": "patch", "patch_size": 4}
        >>> model = {"preset": "itnet-nano", "depth": 1, "encoder": encoder, "task": "digits"}
        >>> _ = train({"model": model, "train": {"epochs": 1}}, "runs/digits")
        >>> report("runs/digits").as_posix()
        'runs/digits/report.html'

    Args:
        run: the run directory.
        split: the split that is predicted.
        task: fields of the task that override the checkpoint's, such as the folder of the data.
        samples: number of samples of largest loss to show.
        batch_size: samples that are predicted at a time.
        output: the file; by default `report.html` in the run directory.

    Returns:
        The file.

    Raises:
        RunError: there is no run, or it has no checkpoint yet, or the file cannot be written.
        ITNetError: the checkpoint, its task or the data cannot be used.
    """
    directory = RunDirectory(Path(run))
    record = RunRecord.read(directory.path)
    if not (directory.best / "itnet.json").is_file():
        hint = "An ITNet's run has one after its first epoch."
        raise RunError(str(directory.path), found="no checkpoint of an ITNet", expected="best", hint=hint)
    model = load_model(directory.best)
    tasks = create_tasks(model, **(task or {}))
    check_predictions(model, tasks)
    content = {
        "title": directory.path.as_posix(),
        "about": record.summary(),
        "scores": record.scores(),
        "best_epoch": record.best.get("epoch"),
        "rows": list(record.rows),
        "split": split,
        "tasks": [_task(model, own, split, samples, batch_size) for own in tasks.values()],
    }
    file = directory.path / "report.html" if output is None else Path(output)
    page = files("itnet_train.reporting").joinpath("report.html").read_text(encoding="utf-8")
    with os_errors_as(RunError, file):
        safe = to_json(content).replace("<", "\\u003c")  # text of the data ends no script
        write_atomically(file, page.replace("/*data*/", safe))
    return file


def _task(model: ITNetModel, task: Task, split: Split, count: int, batch_size: int) -> dict[str, Any]:
    """Return what the report shows of a task."""
    dataset = task.dataset(split)
    results = sorted(sample_results(model, task, dataset, batch_size=batch_size), key=lambda result: -result.loss)
    shown = {result.index: result for result in results[:count]}
    confused: dict[tuple[int, int], list[SampleResult]] = defaultdict(list)
    for result in results:
        if isinstance(result.target, int) and result.target != (predicted := int(result.prediction.argmax())):
            confused[result.target, predicted].append(result)
    pairs = sorted(confused, key=lambda pair: -len(confused[pair]))
    for pair in pairs[:PAIRS]:
        shown |= {result.index: result for result in confused[pair][:EACH]}
    names = _class_names(task, results)
    return {
        "modality": task.modality,
        "samples": len(results),
        "classes": names,
        "matrix": _matrix(results, len(names)) if 0 < len(names) <= LARGEST else [],
        "pairs": [[*pair, len(confused[pair])] for pair in pairs[:PAIRS]],
        "worst": [result.index for result in results[:count]],
        "shown": _shown(model, task, dataset, list(shown.values()), names),
    }


def _class_names(task: Task, results: Sequence[SampleResult]) -> list[str]:
    """Return the labels by which the task describes each class; an empty list unless it has classes."""
    if not results or not isinstance(results[0].target, int):
        return []
    certain = 100 * torch.eye(len(results[0].prediction))
    return [str(record.get("label", number)) for number, record in enumerate(task.describe(certain))]


def _matrix(results: Sequence[SampleResult], classes: int) -> list[list[int]]:
    """Return the numbers of samples by class and predicted class."""
    count = Counter((result.target, int(result.prediction.argmax())) for result in results)
    return [[count[row, column] for column in range(classes)] for row in range(classes)]


def _shown(
    model: ITNetModel, task: Task, dataset: Any, results: Sequence[SampleResult], names: Sequence[str]
) -> dict[int, dict[str, Any]]:
    """Return the samples that the page shows, by number, with their images or texts."""
    encoder = cast(Encoder, model.encoders[task.modality])
    found = {}
    for result in results:
        with torch.no_grad():
            inputs = task.collate([dataset[result.index]]).inputs
            images, labels = encoder.images(inputs), encoder.labels(inputs)
        found[result.index] = {
            "loss": result.loss,
            "target": result.target,
            "predicted": int(result.prediction.argmax()) if names else None,
            "record": {key: value for key, value in result.record.items() if not isinstance(value, dict | list)},
            "image": None if images is None else _pixels(images[0]),
            "text": None if labels is None else _text(labels[0]),
        }
    return found


def _text(tokens: Sequence[str]) -> str:
    """Join tokens to a text; characters have no spaces between them."""
    characters = all(len(token) == 1 for token in tokens)
    return "".join(tokens) if characters else " ".join(token.strip() for token in tokens)


def _pixels(image: Tensor) -> dict[str, Any]:
    """Return an image (1 or 3, H, W) as bytes of red, green and blue, scaled to its own range."""
    image = image.detach().float().cpu()
    scaled = (image - image.min()) / (image.max() - image.min()).clamp(min=1e-12)
    rows = (255 * scaled).round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).contiguous()
    height, width = rows.shape[:2]
    return {"width": width, "height": height, "bytes": base64.b64encode(rows.numpy().tobytes()).decode()}
