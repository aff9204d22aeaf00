"""The order of samples: batches of one task each, with the tasks spread evenly over the epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler

from itnet_train.data.seeding import derive_seed


class SampleKey(NamedTuple):
    """The index of a sample in a task's split, and the number of the pass over the split that reads it.

    Attributes:
        sample: the index, or -1 for no sample.
        copy: number of the copy, if a pass has several of each sample, from 0.
    """

    modality: str
    pass_number: int
    sample: int
    copy: int = 0


@dataclass(frozen=True)
class TaskShare:
    """The number of samples of a task's training split in an epoch."""

    size: int
    """Samples in the split."""
    batch_size: int
    """Samples per batch on each device."""
    samples: int
    """Samples per epoch, over all processes."""
    repeats: int = 1
    """Copies of each sample in a pass, one after another."""
    lengths: Sequence[float] | None = None
    """The length of each sample of the split, to form batches of similar lengths."""
    bucket: int = 1
    """Batches whose samples are sorted by length together."""
    chunks: Sequence[int] | None = None
    """The numbers of samples in consecutive chunks of the split, to read them chunk by chunk."""
    buffer: int = 1
    """Samples that are shuffled together, if there are chunks."""

    def shuffle(self, generator: torch.Generator) -> Tensor:
        """Return the samples of a pass in random order.

        With chunks, their order is random, and so is that of the samples of consecutive chunks of `buffer` samples or
        more, so that chunks are read one after another.
        """
        if self.chunks is None:
            return torch.randperm(self.size, generator=generator)
        ends, order, window = list(accumulate(self.chunks)), list[Tensor](), list[Tensor]()
        for number, chunk in enumerate(torch.randperm(len(self.chunks), generator=generator).tolist(), start=1):
            window.append(torch.arange(ends[chunk] - self.chunks[chunk], ends[chunk]))
            if sum(map(len, window)) >= self.buffer or number == len(self.chunks):
                samples = torch.cat(window)
                order.append(samples[torch.randperm(len(samples), generator=generator)])
                window = []
        return torch.cat(order)

    def sort_by_length(self, keys: Tensor, seed: int, epoch: int, world_size: int) -> Tensor:
        """Sort an epoch's keys of each `bucket` batches of all processes by length, and shuffle these batches.

        What does not fill a batch stays last, as it is: sorted, it would be the longest samples.
        """
        if self.lengths is None:
            return keys
        generator = torch.Generator().manual_seed(derive_seed(seed, "buckets", epoch))
        size, lengths = self.batch_size * world_size, torch.as_tensor(self.lengths)[keys[:, 1]]
        end, found = len(keys) // size * size, list[Tensor]()
        for start in range(0, end, self.bucket * size):
            window = slice(start, min(start + self.bucket * size, end))
            batches = keys[window][lengths[window].argsort(stable=True)].view(-1, size, 3)
            found += batches[torch.randperm(len(batches), generator=generator)]
        return torch.cat([*found, keys[end:]])

    def keys(self, seed: int, epoch: int) -> Tensor:
        """Return the keys of an epoch, (samples, 3): the numbers of the pass, the sample and the copy.

        Epochs are consecutive sections of an endless sequence of shuffled passes, so that all samples are read equally
        often even where an epoch is shorter or longer than the split.
        """
        keys: list[Tensor] = []
        start, end, size = epoch * self.samples, (epoch + 1) * self.samples, self.size * self.repeats
        for number in range(start // size, -(-end // size)):
            generator = torch.Generator().manual_seed(derive_seed(seed, "order", number))
            samples = self.shuffle(generator).repeat_interleave(self.repeats)
            copies = torch.arange(self.repeats).repeat(self.size)
            rows, first = torch.stack([torch.full_like(samples, number), samples, copies], 1), number * size
            keys.append(rows[max(0, start - first) : end - first])
        return torch.cat(keys)


class TaskBatchSampler(Sampler[list[SampleKey]]):
    """Yield the batches of an epoch for one of `world_size` processes.

    Each batch is of one task, and in each step all processes have a batch of the same task. A task's incomplete last
    batch is dropped unless it is the task's only one.

    Example:
        >>> sampler = TaskBatchSampler({"image": TaskShare(6, 2, 6), "text": TaskShare(3, 1, 3)}, seed=0)
        >>> [batch[0].modality for batch in sampler]
        ['image', 'text', 'image', 'text', 'image', 'text']

    Args:
        shares: the tasks' shares of an epoch, by modality.
        seed: the run's seed.
        epoch: the epoch to begin with.
        skip: batches to skip in that epoch, because a resumed run has already trained on them.
        rank: the number of this process.
        world_size: the number of processes.
    """

    def __init__(
        self,
        shares: Mapping[str, TaskShare],
        seed: int,
        *,
        epoch: int = 0,
        skip: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.shares, self.seed = shares, seed
        self.epoch, self.skip, self.rank, self.world_size = epoch, skip, rank, world_size

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch; Lightning calls this at its start."""
        if epoch != self.epoch:
            self.epoch, self.skip = epoch, 0

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch, which is the same in every process."""
        return sum(map(self._batches, self.shares.values()))

    def __iter__(self) -> Iterator[list[SampleKey]]:
        scheduled: list[tuple[float, str, Tensor]] = []
        for modality, share in self.shares.items():
            keys, count = share.keys(self.seed, self.epoch), self._batches(share)
            keys = share.sort_by_length(keys, self.seed, self.epoch, self.world_size)
            own = keys[: len(keys) // self.world_size * self.world_size][self.rank :: self.world_size]
            batches = torch.split(own, share.batch_size)[:count]
            scheduled += [((i + 0.5) / count, modality, batch) for i, batch in enumerate(batches)]
        scheduled.sort(key=lambda item: item[0])
        return ([SampleKey(name, *key) for key in keys.tolist()] for _, name, keys in scheduled[self.skip :])

    def _batches(self, share: TaskShare) -> int:
        own = share.samples // self.world_size
        return max(min(own, 1), own // share.batch_size)


def sequential_batches(
    modality: str, size: int, batch_size: int, *, rank: int, world_size: int
) -> list[list[SampleKey]]:
    """Return the batches of a whole split in its own order, for one of `world_size` processes.

    All have the same number of batches; the last may have no sample.
    """
    keys = [SampleKey(modality, 0, sample) for sample in range(rank, size, world_size)]
    starts = range(0, -(-size // world_size), batch_size)
    return [keys[start : start + batch_size] or [SampleKey(modality, 0, -1)] for start in starts]
