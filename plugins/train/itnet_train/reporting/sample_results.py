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
        target: the number of its class, or the number to predict; `None` for targets of another form.
        record: the prediction as `Task.describe` describes it.
    """

    index: int
    loss: float
    prediction: Tensor
    target: int | float | None
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
            batch = collate(task, [sample for _, sample in samples]).to(torch.device(device), model)
            yield from _results(model, task, batch, [index for index, _ in samples])


def _results(model: nn.Module, task: Task, batch: TaskBatch, indices: Sequence[int]) -> Iterator[SampleResult]:
    inputs, targets = batch.batch
    prediction: Tensor = model(inputs, batch.modality)
    records = task.describe(prediction)
    known = _numbers(prediction, targets)
    for number, index in enumerate(indices):
        target = tree_map(lambda leaf, n=number: _row(leaf, n, len(indices)), targets)
        loss = float(task.loss(prediction[number : number + 1], target))
        own = None if known is None else known[number].item()
        yield SampleResult(index, loss, prediction[number].cpu(), own, records[number])


def _numbers(prediction: Tensor, targets: Any) -> Tensor | None:
    """Return targets that are a number of each sample: of its class, if the prediction has logits, or a value."""
    if not isinstance(targets, Tensor) or targets.shape != prediction.shape[:1]:
        return None
    if targets.is_floating_point():
        return targets
    is_class = prediction.ndim == 2 and bool((targets >= 0).all() and (targets < prediction.shape[1]).all())
    return targets if is_class and prediction.shape[1] > 1 else None


def _row(leaf: Any, number: int, size: int) -> Any:
    """Return the row of a sample of a tensor over the batch, and anything else as it is."""
    return leaf[number : number + 1] if isinstance(leaf, Tensor) and leaf.shape[:1] == (size,) else leaf
