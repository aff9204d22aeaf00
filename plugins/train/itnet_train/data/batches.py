"""A batch of one task on its way from the data loader to the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from itnet_core import Batch, ITNetError, ITNetModel, Task, map_tensors, move


class TaskBatch:
    """A batch of a task (any pytree), or the error that loading it raised, or nothing if all samples were skipped.

    Lightning treats it as opaque. Otherwise Lightning would rebuild containers, which some of them do not support. A
    data-loading process returns an error as an object, where torch would replace it by its text.

    Attributes:
        modality: the modality of the task.
    """

    def __init__(self, modality: str, content: Batch | ITNetError | None) -> None:
        self.modality, self.content = modality, content

    @property
    def empty(self) -> bool:
        """Whether all samples were skipped."""
        return self.content is None

    @property
    def batch(self) -> Batch:
        """The batch.

        Raises:
            ITNetError: loading it failed.
        """
        if isinstance(self.content, ITNetError):
            raise self.content
        assert self.content is not None, "an empty TaskBatch has no batch"
        return self.content

    def to(self, device: torch.device, model: nn.Module | None = None) -> TaskBatch:
        """Return a copy on a device; an `ITNetModel` moves the inputs as its encoder maps them."""
        if self.content is None or isinstance(self.content, ITNetError):
            return self
        inputs, targets = self.content
        moved = (
            model.move_inputs(inputs, device, self.modality) if isinstance(model, ITNetModel) else move(inputs, device)
        )
        return TaskBatch(self.modality, Batch(moved, move(targets, device)))

    def pin_memory(self) -> TaskBatch:
        """Return a copy in pinned memory."""
        if isinstance(self.content, ITNetError):
            return self
        return TaskBatch(self.modality, map_tensors(self.content, Tensor.pin_memory))


def collate(task: Task, samples: Sequence[Any]) -> TaskBatch:
    """Collate samples of a task.

    A sample may be `None`, which the task skips, or an error that reading it raised. The first error takes the place of
    the batch.
    """
    for sample in samples:
        if isinstance(sample, ITNetError):
            return TaskBatch(task.modality, sample)
    if all(sample is None for sample in samples):
        return TaskBatch(task.modality, None)
    try:
        return TaskBatch(task.modality, task.collate(samples))
    except ITNetError as error:
        return TaskBatch(task.modality, error)
