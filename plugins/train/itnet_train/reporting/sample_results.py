"""The loss and the prediction of each sample of a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from itnet_core import Task
from itnet_train.data.batches import TaskBatch, collate


@dataclass(frozen=True)
class SampleResult:
    """What a model makes of a sample.

    Attributes:
        index: number of the sample in the split.
        loss: the task's loss of this sample alone.
        prediction: the model's output for it, without the batch dimension.
        target: the target of its class, or `None` for a task whose targets are not numbers of classes.
        record: the prediction as `Task.describe` describes it.
    """

    index: int
    loss: float
    prediction: Tensor
    target: int | None
    record: dict[str, Any]


@torch.inference_mode()
def sample_results(
    model: nn.Module, task: Task, dataset: Any, *, batch_size: int = 64, device: str | torch.device = "cpu"
) -> Iterator[SampleResult]:
    """Yield the result of each sample that can be read, in the order of the dataset.

    Args:
        model: an `ITNetModel` in evaluation mode, on the device.
        task: the task of its samples.
        dataset: a split of the task.
        batch_size: samples that are predicted at a time.
        device: the device of the model.

    Raises:
        DataError: a sample cannot be read.
    """
    for start in range(0, len(dataset), batch_size):
        read = [(index, dataset[index]) for index in range(start, min(start + batch_size, len(dataset)))]
        samples = [(index, sample) for index, sample in read if sample is not None]
        if samples:
            batch = collate(task, [sample for _, sample in samples]).to(torch.device(device))
            yield from _results(model, task, batch, [index for index, _ in samples])


def _results(model: nn.Module, task: Task, batch: TaskBatch, indices: Sequence[int]) -> Iterator[SampleResult]:
    inputs, targets = batch.batch
    prediction: Tensor = model(inputs, batch.modality)
    records = task.describe(prediction)
    classes = classes_of(prediction, targets)
    for number, index in enumerate(indices):
        target = tree_map(lambda leaf, n=number: _row(leaf, n, len(indices)), targets)
        loss = float(task.loss(prediction[number : number + 1], target))
        yield SampleResult(
            index, loss, prediction[number].cpu(), None if classes is None else int(classes[number]), records[number]
        )


def classes_of(prediction: Tensor, targets: Any) -> Tensor | None:
    """Return the targets if they are numbers of classes of which the prediction has logits, or `None`."""
    is_class = isinstance(targets, Tensor) and targets.ndim == 1 and not targets.is_floating_point()
    if not is_class or prediction.ndim != 2 or prediction.shape[1] < 2:
        return None
    classes: Tensor = targets
    return classes if bool((classes >= 0).all() and (classes < prediction.shape[1]).all()) else None


def _row(leaf: Any, number: int, size: int) -> Any:
    """Return the row of a sample of a tensor over the batch, and anything else as it is."""
    return leaf[number : number + 1] if isinstance(leaf, Tensor) and leaf.shape[:1] == (size,) else leaf
