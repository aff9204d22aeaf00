"""Losses that compare the samples of a batch, over those of all processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch import distributed as dist

from itnet_core import Task


def joint_loss(task: Task, prediction: Tensor, targets: Tensor, points: int, *, counts: bool = True) -> Tensor:
    """Return a task's loss over the samples of all processes.

    Its gradient is that by this process's predictions, times the number of processes, whose mean is taken afterwards.

    Args:
        task: the task.
        prediction: of this process, (k · B, …): k blocks of a row for each of its B samples.
        targets: of this process, (B, …).
        points: number of processes, one after another, that have the same samples.
        counts: whether the samples count; a stand-in does not.
    """
    size, *shape = prediction.shape
    samples, counted = len(targets), len(targets) if counts else 0
    rows = prediction.view(size // samples, samples, *shape).transpose(0, 1)
    lengths = _lengths(rows[:counted])
    all_rows, all_targets = (_gather(part[:counted], lengths, points) for part in (rows, targets))
    if not len(all_targets):
        return 0 * prediction.sum()
    loss = task.loss(all_rows.transpose(0, 1).flatten(0, 1), all_targets)
    others = dist.get_world_size() // points - 1
    return loss + others * (loss - loss.detach()) + 0 * prediction.sum()


def _lengths(tensor: Tensor) -> list[int]:
    """Return the size of the first axis in each process."""
    sizes = [torch.zeros(1, dtype=torch.long, device=tensor.device) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, sizes[0].new_tensor([len(tensor)]))
    return [int(size) for size in sizes]


def _gather(tensor: Tensor, lengths: Sequence[int], points: int) -> Tensor:
    """Join the tensors of all processes along the first axis, whose sizes differ; gradients reach this one's."""
    rank = dist.get_rank()
    padded = tensor.new_zeros(max(lengths), *tensor.shape[1:])
    padded[: len(tensor)] = tensor.detach()
    gathered = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(gathered, padded)
    parts = [part[:length] for part, length in zip(gathered, lengths, strict=True)]
    parts[rank] = tensor
    return torch.cat(parts[rank % points :: points])
