"""The splits of tasks as Lightning loads them: the seed and the epoch decide on order and augmentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from itertools import islice
from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, IterableDataset

from itnet_core import DataError, ITNetError, Split, Task
from itnet_train.batches import Parcel, collate
from itnet_train.config import TrainConfig
from itnet_train.schedule import Key, Portion, Schedule, in_order
from itnet_train.seeding import derive, seed_host


class Parcels(Dataset[Parcel]):
    """The batches of a split of each task by their keys: what a sample draws in its augmentation depends on its key.

    A sample that is refused makes a parcel of its error.
    """

    def __init__(self, tasks: Mapping[str, Task], datasets: Mapping[str, Dataset[Any]], seed: int) -> None:
        self.tasks, self.datasets, self.seed = tasks, datasets, seed

    def __getitem__(self, keys: Sequence[Key]) -> Parcel:  # a batch is the unit here
        return collate(self.tasks[keys[0].modality], [self._sample(key) for key in keys])

    def _sample(self, key: Key) -> Any:
        seed_host(derive(self.seed, "sample", key.turn, key.sample))
        try:
            return self.datasets[key.modality][key.sample]
        except ITNetError as error:
            return error


class TaskData(LightningDataModule):
    """The splits of tasks.

    Args:
        tasks: whose, by modality.
        config: the tasks' parts, batch size, seed, workers.
        tested: the split that Lightning's test loop is to run over.

    Attributes:
        position: the epoch, and the batches of it that are done; saved with the training state, and where a resumed
            run goes on.
    """

    def __init__(self, tasks: Mapping[str, Task], config: TrainConfig, *, tested: Split = "test") -> None:
        super().__init__()
        self.tasks, self.config, self.tested = tasks, config, tested
        self.position = (0, 0)
        self._datasets: dict[tuple[str, Split], Any] = {}

    def dataset(self, modality: str, split: Split) -> Any:
        """Return the samples of a task's split, which are opened once.

        Raises:
            DataError: there are none, or they cannot be had by index.
        """
        if (modality, split) not in self._datasets:
            task = self.tasks[modality]
            samples = task.dataset(split)
            if isinstance(samples, IterableDataset) or not isinstance(samples, Sized):
                raise _unfit(task, split, f"{type(samples).__name__}, which has no length", "samples by index")
            if not len(samples):
                raise _unfit(task, split, "no samples", "at least one")
            self._datasets[modality, split] = samples
        return self._datasets[modality, split]

    def readable(self, modality: str, split: Split, count: int) -> list[Any]:
        """Return the first samples of a task's split that are not left out, as many as `count` if there are so many.

        Raises:
            DataError: there is none.
        """
        samples = self.dataset(modality, split)
        read = (samples[index] for index in range(len(samples)))
        found = list(islice((sample for sample in read if sample is not None), count))
        if not found:
            task, bad = self.tasks[modality], f"{len(samples)} samples, none of which can be read"
            raise _unfit(task, split, bad, "at least one that can; the warnings name them")
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"position": list(self.position)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to a position, before the loaders are asked for."""
        epoch, batches = state_dict["position"]
        self.position = (epoch, batches)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the training splits, shuffled, from the position on."""
        trainer, portions = self._trainer(), {}
        for modality, task in self.tasks.items():
            size, part = len(self.dataset(modality, "train")), self.config.of(modality)
            samples = part.samples or size
            if samples < trainer.world_size:
                raise _unfit(task, "train", f"{samples} samples", f"one for each of {trainer.world_size} devices")
            portions[modality] = Portion(size, part.batch_size or self.config.batch_size, samples)
        epoch, batches = self.position
        place = {"rank": trainer.global_rank, "world": trainer.world_size}
        return self._loader("train", Schedule(portions, self.config.seed, epoch=epoch, skip=batches, **place))

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the validation splits, each in its own order."""
        return self._whole("validation")

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the tested split of each task, in its own order."""
        return self._whole(self.tested)

    def _whole(self, split: Split) -> DataLoader[Any]:
        trainer = self._trainer()
        place = {"rank": trainer.global_rank, "world": trainer.world_size}
        batches = []
        for modality in self.tasks:
            self.readable(modality, split, 1)
            size = self.config.of(modality).batch_size or self.config.batch_size
            batches += in_order(modality, len(self.dataset(modality, split)), size, **place)
        return self._loader(split, batches)

    def _loader(self, split: Split, batches: Iterable[list[Key]]) -> DataLoader[Any]:
        datasets = {modality: self.dataset(modality, split) for modality in self.tasks}
        return DataLoader(
            Parcels(self.tasks, datasets, self.config.seed),
            sampler=batches,
            batch_size=None,  # what the sampler gives is a batch already
            collate_fn=_as_it_is,
            num_workers=self.config.workers,
            persistent_workers=self.config.workers > 0,
            pin_memory=self._trainer().strategy.root_device.type == "cuda",
        )

    def _trainer(self) -> Any:
        if self.trainer is None:
            raise RuntimeError("TaskData is used through a Trainer")
        return self.trainer


def _as_it_is(parcel: Any) -> Any:
    return parcel


def _unfit(task: Task, split: Split, found: str, expected: str) -> DataError:
    return DataError(f"{type(task).__name__}.dataset({split!r})", found=found, expected=expected)
