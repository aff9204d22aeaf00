"""Explanation of a checkpoint by samples of its task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from rich.progress import Progress

from itnet_core import DataError, Encoder, ITNetModel, Split, Task
from itnet_explain.ablation import ablate, obstacle
from itnet_explain.explanation import Explanation, explain_calls, united
from itnet_explain.images import image_url
from itnet_explain.recording import Call, record
from itnet_registry import load_model
from itnet_registry.build.tasks import create_task

BATCH = 50
"""Samples of a batch for the ablation."""


@dataclass(frozen=True)
class Explained:
    """An explanation, and what the report shows of its samples.

    Example:
        >>> from itnet_explain import Explanation
        >>> Explained(Explanation((), 2), images={}, labels={0: ["a", "film"]}).labels[0]
        ['a', 'film']

    Attributes:
        explanation: of the checkpoint's model.
        images: images of samples as data URLs, by number.
        labels: names of the points of samples, such as tokens, by number.
    """

    explanation: Explanation
    images: dict[int, str]
    labels: dict[int, list[str]]


def explain_checkpoint(
    checkpoint: str | PathLike[str],
    files: Iterable[str | PathLike[str]] = (),
    *,
    modality: str | None = None,
    split: Split = "test",
    samples: int = 16,
    ablation: int = 200,
    seed: int = 0,
) -> Explained:
    """Explain the kernels of a checkpoint.

    Example:
        >>> from itnet_registry import create_model, save_model
        >>> encoder = {"name": "patch", "patch_size": 2}
        >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), "digits")
        >>> found = explain_checkpoint("digits", samples=4, ablation=0)
        >>> found.explanation.samples, sorted(found.images)
        (4, [0, 1])

    Args:
        checkpoint: a checkpoint directory, or an address as for `itnet_registry.load`.
        files: at least two files of the kind that its task reads; by default samples of a split.
        modality: the task of a model of several.
        split: the split that samples are taken from, evenly spread.
        samples: their number.
        ablation: samples of the split to score the model on with parts of its kernels alone; 0 for none.
        seed: of the random choices.

    Raises:
        ITNetError: the checkpoint, its task or the data cannot be used, or there are fewer than two samples.
    """
    model = load_model(checkpoint)
    task = create_task(model, modality)
    read = [task.read(Path(file)) for file in files]
    found = read or spread_samples(task.dataset(split), samples)
    if len(found) < 2:
        raise DataError("explain", found=f"{len(found)} sample", expected="at least two")
    inputs = task.collate(found).inputs
    calls = record(model, lambda: model.features(inputs, task.modality))
    with Progress(console=Console(stderr=True), transient=True) as bar:
        kernels = bar.add_task("kernels", total=None)
        explanation = explain_calls(
            calls,
            parts=united(model, task.modality),
            seed=seed,
            progress=lambda done, total: bar.update(kernels, completed=done, total=total),
        )
    if ablation and not read and not obstacle(calls):
        scores = _ablate(model, task, calls, spread_samples(task.dataset(split), ablation), seed)
        explanation = replace(explanation, ablation=scores)
    shown = sorted({item.sample for layer in explanation.layers for item in layer.maps})
    encoder = cast(Encoder, model.encoders[task.modality])
    with torch.no_grad():
        drawn, labels = encoder.images(inputs), encoder.labels(inputs)
    images = {sample: image_url(drawn, sample) for sample in shown}
    return Explained(
        explanation,
        {sample: source for sample, source in images.items() if source is not None},
        {} if labels is None else {sample: labels[sample] for sample in shown},
    )


def _ablate(
    model: ITNetModel, task: Task, calls: list[Call], samples: list[Any], seed: int
) -> dict[str, dict[str, float]]:
    """Score the model with parts of its kernels alone."""
    batches = [task.collate(samples[start : start + BATCH]) for start in range(0, len(samples), BATCH)]

    def score() -> dict[str, float]:
        metrics = task.metrics()
        for batch in batches:
            prediction = model(batch.inputs, task.modality)
            for metric in metrics.values():
                metric.update(prediction, batch.targets)
        return {name: float(metric.compute()) for name, metric in metrics.items()}

    return ablate(model, calls, score, seed=seed)


def spread_samples(dataset: Any, count: int) -> list[Any]:
    """Return at most `count` samples of a dataset, evenly spread, without those that cannot be read."""
    chosen = range(0, len(dataset), max(1, len(dataset) // count))
    found = [dataset[index] for index in chosen]
    return [sample for sample in found if sample is not None][:count]
