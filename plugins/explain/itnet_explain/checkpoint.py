"""Explanation of a checkpoint by samples of its task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.progress import Progress

from itnet_core import DataError, Encoder, Split
from itnet_explain.explanation import Explanation, explain
from itnet_explain.pictures import picture
from itnet_registry import load_model
from itnet_registry.build.tasks import create_task


@dataclass(frozen=True)
class Explained:
    """An explanation, and what the report shows of its samples.

    Attributes:
        explanation: of the checkpoint's model.
        pictures: pictures of samples as data URLs, by number.
        labels: names of the points of samples, such as tokens, by number.
    """

    explanation: Explanation
    pictures: dict[int, str]
    labels: dict[int, list[str]]


def explain_checkpoint(
    checkpoint: str | PathLike[str],
    files: Iterable[str | PathLike[str]] = (),
    *,
    modality: str | None = None,
    split: Split = "test",
    samples: int = 16,
    seed: int = 0,
) -> Explained:
    """Explain the kernels of a checkpoint.

    Args:
        checkpoint: a checkpoint directory.
        files: at least two files of the kind that its task reads; by default samples of a split.
        modality: the task of a model of several.
        split: the split that samples are taken from, evenly spread.
        samples: their number.
        seed: of the random choices.

    Raises:
        ITNetError: the checkpoint, its task or the data cannot be used, or there are fewer than two samples.
    """
    model = load_model(checkpoint)
    task = create_task(model, modality)
    found = [task.read(Path(file)) for file in files] or _spread(task.dataset(split), samples)
    if len(found) < 2:
        raise DataError("explain", found=f"{len(found)} sample", expected="at least two")
    inputs = task.collate(found).inputs
    with Progress(console=Console(stderr=True), transient=True) as bar:
        kernels = bar.add_task("kernels", total=None)
        explanation = explain(
            model,
            inputs,
            modality=task.modality,
            seed=seed,
            progress=lambda done, total: bar.update(kernels, completed=done, total=total),
        )
    shown = sorted({item.sample for layer in explanation.layers for item in layer.maps})
    drawn = {sample: picture(inputs, sample) for sample in shown}
    encoder = cast(Encoder, model.encoders[task.modality])
    labels = encoder.labels(inputs)
    return Explained(
        explanation,
        {sample: source for sample, source in drawn.items() if source is not None},
        {} if labels is None else {sample: labels[sample] for sample in shown},
    )


def _spread(dataset: Any, count: int) -> list[Any]:
    chosen = range(0, len(dataset), max(1, len(dataset) // count))
    found = [dataset[index] for index in chosen]
    return [sample for sample in found if sample is not None][:count]
