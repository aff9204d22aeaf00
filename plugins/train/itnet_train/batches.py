"""Batches of any shape, on their way from where samples are loaded to the model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from itnet_core import Batch, ITNetError, Task


@runtime_checkable
class Movable(Protocol):
    """What can go to a device: a tensor, or a container of tensors that is no pytree."""

    def to(self, device: torch.device) -> Any:
        """Return it on a device."""


class Parcel:
    """A task's batch, of any pytree, or the error that was met instead of it, or nothing: all samples were left out.

    It is opaque to Lightning, which would take containers apart in ways that not all of them bear; and it carries an
    error whole out of the process that loads data, where torch would leave of it a text.

    Attributes:
        modality: the task's.
    """

    def __init__(self, modality: str, content: Batch | ITNetError | None) -> None:
        self.modality, self.content = modality, content

    @property
    def empty(self) -> bool:
        """Whether there is neither a batch nor an error."""
        return self.content is None

    @property
    def batch(self) -> Batch:
        """The batch.

        Raises:
            ITNetError: there is an error instead.
        """
        if isinstance(self.content, ITNetError):
            raise self.content
        assert self.content is not None, "an empty parcel has no batch"
        return self.content

    def to(self, device: torch.device) -> Parcel:
        """Return it on a device."""
        return self._map(partial(_moved, device=device))

    def pin_memory(self) -> Parcel:
        """Return it with its tensors in pinned memory."""
        return self._map(lambda leaf: leaf.pin_memory() if isinstance(leaf, Tensor) else leaf)

    def _map(self, function: Any) -> Parcel:
        if isinstance(self.content, ITNetError):
            return self
        return Parcel(self.modality, tree_map(function, self.content))


def collate(task: Task, samples: Sequence[Any]) -> Parcel:
    """Return the task's batch of samples; where one of them is an error, that error; nothing where all are `None`."""
    for sample in samples:
        if isinstance(sample, ITNetError):
            return Parcel(task.modality, sample)
    if all(sample is None for sample in samples):
        return Parcel(task.modality, None)
    try:
        return Parcel(task.modality, task.collate(samples))
    except ITNetError as error:
        return Parcel(task.modality, error)


def _moved(leaf: Any, device: torch.device) -> Any:
    if isinstance(leaf, Tensor):
        return leaf.to(device, non_blocking=True)
    return leaf.to(device) if isinstance(leaf, Movable) else leaf
