"""Which samples each batch of an epoch has: of one task each, and those of several tasks spread evenly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from itnet_train.seeding import derive


class Key(NamedTuple):
    """A sample of a task's split, by its index, and which pass over the split it is seen in."""

    modality: str
    turn: int
    sample: int


@dataclass(frozen=True)
class Portion:
    """A task's part in an epoch.

    Attributes:
        size: samples of its split.
        batch_size: on each device.
        samples: of an epoch, in all processes.
    """

    size: int
    batch_size: int
    samples: int

    def keys(self, modality: str, seed: int, epoch: int) -> list[Key]:
        """Return an epoch's part of an endless row of shuffled passes, so that all samples are seen equally often."""
        keys: list[Key] = []
        start, end = epoch * self.samples, (epoch + 1) * self.samples
        for turn in range(start // self.size, -(-end // self.size)):
            generator = torch.Generator().manual_seed(derive(seed, "order", turn))
            order = torch.randperm(self.size, generator=generator).tolist()
            first = turn * self.size
            keys += [Key(modality, turn, sample) for sample in order[max(0, start - first) : end - first]]
        return keys


class Schedule(Sampler[list[Key]]):
    """The batches of an epoch, for one of `world` processes. All processes have batches of the same tasks in turn.

    A task's incomplete last batch is left out, unless it is its only one.

    Args:
        portions: the tasks' parts, by modality.
        seed: the run's.
        epoch: the epoch to begin with.
        skip: batches to leave out in that epoch, because they were trained on before.
        rank, world: which process this is, of how many.
    """

    def __init__(
        self,
        portions: Mapping[str, Portion],
        seed: int,
        *,
        epoch: int = 0,
        skip: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.portions, self.seed = portions, seed
        self.epoch, self.skip, self.rank, self.world = epoch, skip, rank, world

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch; Lightning calls this at its start."""
        if epoch != self.epoch:
            self.epoch, self.skip = epoch, 0

    def __len__(self) -> int:
        """Return how many batches a whole epoch has, the same on every process."""
        return sum(map(self._count, self.portions.values()))

    def __iter__(self) -> Iterator[list[Key]]:
        placed = []
        for modality, portion in self.portions.items():
            keys, count = portion.keys(modality, self.seed, self.epoch), self._count(portion)
            mine = keys[: len(keys) // self.world * self.world][self.rank :: self.world]
            size = portion.batch_size
            placed += [((i + 0.5) / count, mine[i * size : (i + 1) * size]) for i in range(count)]
        placed.sort(key=lambda each: each[0])
        return iter([batch for _, batch in placed[self.skip :]])

    def _count(self, portion: Portion) -> int:
        mine = portion.samples // self.world
        return max(min(mine, 1), mine // portion.batch_size)


def in_order(modality: str, size: int, batch_size: int, *, rank: int, world: int) -> list[list[Key]]:
    """Return the batches of a whole split in its own order, for one of `world` processes."""
    keys = [Key(modality, 0, sample) for sample in range(rank, size, world)]
    return [keys[start : start + batch_size] for start in range(0, len(keys), batch_size)]
