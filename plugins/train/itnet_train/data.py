"""A task's splits as Lightning loads them: in an order, and with augmentation, that the seed and the epoch decide."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from itnet_core.errors import DataError, ITNetError
from itnet_core.task import Split, Task
from itnet_train.batches import collate
from itnet_train.config import TrainConfig
from itnet_train.seeding import derive, seed_host

Key = tuple[int, int]
"""The epoch and the index of a sample."""


class Order(Sampler[Key]):
    """The shuffled keys of an epoch, for one of `world` processes.

    Args:
        size: samples of the split.
        seed: the run's.
        epoch: the epoch to begin with.
        skip: samples of this process to leave out in that epoch, because they were trained on before.
        rank, world: which process this is, of how many.
    """

    def __init__(self, size: int, seed: int, *, epoch: int = 0, skip: int = 0, rank: int = 0, world: int = 1) -> None:
        self.size, self.seed, self.epoch, self.skip, self.rank, self.world = size, seed, epoch, skip, rank, world

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch; Lightning calls this at its start."""
        if epoch != self.epoch:
            self.epoch, self.skip = epoch, 0

    def __len__(self) -> int:
        """Return how many keys a whole epoch has, the same on every process."""
        return self.size // self.world

    def __iter__(self) -> Iterator[Key]:
        generator = torch.Generator().manual_seed(derive(self.seed, "order", self.epoch))
        order = torch.randperm(self.size, generator=generator)[: len(self) * self.world]
        return iter([(self.epoch, index) for index in order[self.rank :: self.world][self.skip :].tolist()])


class Samples(Dataset[Any]):
    """A split by `Key`: what a sample draws in its augmentation depends on its key alone.

    A sample that is refused is its error; `collate` hands that on.
    """

    def __init__(self, dataset: Dataset[Any], seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __getitem__(self, key: Key) -> Any:
        seed_host(derive(self.seed, "sample", *key))
        try:
            return self.dataset[key[1]]
        except ITNetError as error:
            return error


class TaskData(LightningDataModule):
    """A task's splits.

    Args:
        task: whose.
        config: batch size, seed, workers.
        tested: the split that Lightning's test loop is to run over.

    Attributes:
        position: the epoch, and the batches of it that are done; saved with the training state, and where a resumed
            run goes on.
    """

    def __init__(self, task: Task, config: TrainConfig, *, tested: Split = "test") -> None:
        super().__init__()
        self.task, self.config, self.tested = task, config, tested
        self.position = (0, 0)
        self._datasets: dict[Split, Any] = {}

    def dataset(self, split: Split) -> Any:
        """Return the samples of a split, which are opened once.

        Raises:
            DataError: there are none, or they cannot be had by index.
        """
        if split not in self._datasets:
            samples = self.task.dataset(split)
            if isinstance(samples, IterableDataset) or not isinstance(samples, Sized):
                raise _unfit(self.task, split, f"{type(samples).__name__}, which has no length", "samples by index")
            if not len(samples):
                raise _unfit(self.task, split, "no samples", "at least one")
            self._datasets[split] = samples
        return self._datasets[split]

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"position": list(self.position)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to a position, before the loaders are asked for."""
        epoch, batches = state_dict["position"]
        self.position = (epoch, batches)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the training split, shuffled, from the position on."""
        samples, batch_size, trainer = self.dataset("train"), self.config.batch_size, self._trainer()
        epoch, batches = self.position
        order = Order(
            len(samples),
            self.config.seed,
            epoch=epoch,
            skip=batches * batch_size,
            rank=trainer.global_rank,
            world=trainer.world_size,
        )
        if not len(order):
            raise _unfit(self.task, "train", f"{len(samples)} samples", f"one for each of {order.world} devices")
        return self._loader(samples, sampler=order, drop_last=len(order) >= batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the validation split, in its own order."""
        return self._whole("validation")

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the tested split, in its own order."""
        return self._whole(self.tested)

    def _whole(self, split: Split) -> DataLoader[Any]:
        samples, trainer = self.dataset(split), self._trainer()
        keys = [(0, index) for index in range(trainer.global_rank, len(samples), trainer.world_size)]
        return self._loader(samples, sampler=keys)

    def _loader(self, samples: Dataset[Any], **options: Any) -> DataLoader[Any]:
        return DataLoader(
            Samples(samples, self.config.seed),
            batch_size=self.config.batch_size,
            collate_fn=partial(collate, self.task),
            num_workers=self.config.workers,
            persistent_workers=self.config.workers > 0,
            pin_memory=self._trainer().strategy.root_device.type == "cuda",
            **options,
        )

    def _trainer(self) -> Any:
        if self.trainer is None:
            raise RuntimeError("TaskData is used through a Trainer")
        return self.trainer


def _unfit(task: Task, split: Split, found: str, expected: str) -> DataError:
    return DataError(f"{type(task).__name__}.dataset({split!r})", found=found, expected=expected)
