"""The Lightning data module over the splits of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from itertools import islice
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, IterableDataset

from itnet_core import ConfigError, DataError, ITNetError, Split, Task
from itnet_train.config import TrainConfig
from itnet_train.data.batch_sampler import SampleKey, TaskBatchSampler, TaskShare, sequential_batches
from itnet_train.data.batches import TaskBatch, collate
from itnet_train.data.seeding import derive_seed, seed_cpu


class BatchDataset(Dataset[TaskBatch]):
    """Batches of several tasks, indexed by lists of sample keys.

    A sample's augmentation is seeded by its key, so it does not depend on the batch or the worker.
    """

    def __init__(self, tasks: Mapping[str, Task], datasets: Mapping[str, Dataset[Any]], seed: int) -> None:
        self.tasks, self.datasets, self.seed = tasks, datasets, seed

    def __getitem__(self, keys: Sequence[SampleKey]) -> TaskBatch:
        return collate(self.tasks[keys[0].modality], [self._sample(key) for key in keys])

    def _sample(self, key: SampleKey) -> Any:
        if key.sample < 0:
            return None
        copy = (key.copy,) if key.copy else ()
        seed_cpu(derive_seed(self.seed, "sample", key.pass_number, key.sample, *copy))
        try:
            return self.datasets[key.modality][key.sample]
        except ITNetError as error:
            return error


class TaskData(LightningDataModule):
    """The train, validation and test splits of tasks, with seeded order and augmentation.

    Args:
        tasks: tasks by modality.
        config: batch sizes, seed and workers.
        test_split: the split that Lightning's test loop reads.

    Attributes:
        position: the epoch and the number of its batches that are done. It is saved with the training state; a resumed
            run continues from there.
    """

    def __init__(self, tasks: Mapping[str, Task], config: TrainConfig, *, test_split: Split = "test") -> None:
        super().__init__()
        self.tasks, self.config, self.test_split = tasks, config, test_split
        self.position = (0, 0)
        self._datasets: dict[tuple[str, Split], Any] = {}

    def dataset(self, modality: str, split: Split) -> Any:
        """Return the dataset of a task's split; it is opened once.

        Raises:
            DataError: the split is empty, or its samples cannot be read by index.
        """
        if (modality, split) not in self._datasets:
            task = self.tasks[modality]
            samples = task.dataset(split)
            if isinstance(samples, IterableDataset) or not isinstance(samples, Sized):
                raise _dataset_error(task, split, f"{type(samples).__name__}, which has no length", "samples by index")
            if not len(samples):
                raise _dataset_error(task, split, "no samples", "at least one")
            self._datasets[modality, split] = samples
        return self._datasets[modality, split]

    def first_samples(self, modality: str, split: Split, count: int) -> list[Any]:
        """Return up to `count` samples from the start of a task's split, without those that are skipped (`None`).

        Raises:
            DataError: all samples are skipped.
        """
        dataset = self.dataset(modality, split)
        read = (dataset[index] for index in range(len(dataset)))
        samples = list(islice((sample for sample in read if sample is not None), count))
        if not samples:
            found = f"{len(dataset)} samples, none of which can be read"
            raise _dataset_error(self.tasks[modality], split, found, "a readable sample; the warnings name the others")
        return samples

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"position": list(self.position)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the position; call this before the loaders are created."""
        epoch, batches = state_dict["position"]
        self.position = (epoch, batches)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the shuffled training splits, starting from `position`.

        Raises:
            DataError: a split has fewer samples than devices.
        """
        (rank, processes), shares = self._position(), {}
        for modality, task in self.tasks.items():
            size, section = len(self.dataset(modality, "train")), self.config.task(modality)
            samples = section.samples or size
            if samples < processes:
                raise _dataset_error(task, "train", f"{samples} samples", f"one for each of {processes} devices")
            batch_size, repeats = section.batch_size or self.config.batch_size, self.config.repeats
            bucket, buffer = self.config.bucket, self.config.shuffle_buffer
            lengths = task.lengths("train") if bucket else None
            chunks = task.chunks("train") if buffer else None
            shares[modality] = TaskShare(size, batch_size, samples, repeats, lengths, bucket or 1, chunks, buffer or 1)
        if self.config.bucket and all(share.lengths is None for share in shares.values()):
            expected = "a task whose samples have lengths, such as texts or recordings"
            raise self._without_use("bucket", "samples of one length", expected)
        if self.config.shuffle_buffer and all(share.chunks is None for share in shares.values()):
            expected = "a task whose samples are in large files, such as image-shards"
            raise self._without_use("shuffle_buffer", "samples that are read one by one", expected)
        epoch, batches = self.position
        sampler = TaskBatchSampler(
            shares,
            self.config.seed,
            epoch=epoch,
            skip=batches,
            rank=rank,
            world_size=processes,
        )
        return self._loader("train", sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the validation splits, each in its own order."""
        return self._sequential_loader("validation")

    def test_dataloader(self) -> DataLoader[Any]:
        """Return a loader of `test_split` of each task, in its own order."""
        return self._sequential_loader(self.test_split)

    def transfer_batch_to_device(self, batch: TaskBatch, device: torch.device, dataloader_idx: int) -> TaskBatch:
        """Return a copy of a batch on a device, as the model moves its inputs."""
        module: Any = self.trainer.lightning_module  # type: ignore[union-attr]
        return batch.to(device, module.model)

    def _without_use(self, option: str, samples: str, expected: str) -> ConfigError:
        found = f"{getattr(self.config, option)}, with {samples}"
        return ConfigError(f"train.{option}", found=found, expected=expected, hint="Leave it out.")

    def _sequential_loader(self, split: Split) -> DataLoader[Any]:
        rank, processes = self._position()
        batches: list[list[SampleKey]] = []
        for modality in self.tasks:
            self.first_samples(modality, split, 1)
            batches += sequential_batches(
                modality,
                len(self.dataset(modality, split)),
                self.config.task(modality).batch_size or self.config.batch_size,
                rank=rank,
                world_size=processes,
            )
        return self._loader(split, batches)

    def _loader(self, split: Split, batches: Iterable[list[SampleKey]]) -> DataLoader[Any]:
        datasets = {modality: self.dataset(modality, split) for modality in self.tasks}
        return DataLoader(
            BatchDataset(self.tasks, datasets, self.config.seed),
            sampler=batches,
            batch_size=None,  # the sampler yields whole batches
            collate_fn=_identity,
            num_workers=self.config.workers,
            persistent_workers=self.config.workers > 0,
            prefetch_factor=self.config.prefetch if self.config.workers else None,
            pin_memory=self._trainer().strategy.root_device.type == "cuda",
        )

    def _position(self) -> tuple[int, int]:
        """Return the number of this process, and the number of processes, that have batches of their own."""
        trainer, points = self._trainer(), self.config.parallel.points
        return trainer.global_rank // points, trainer.world_size // points

    def _trainer(self) -> Any:
        if self.trainer is None:
            raise RuntimeError("TaskData needs a Trainer: pass it as datamodule=")
        return self.trainer


def _identity(batch: Any) -> Any:
    return batch


def _dataset_error(task: Task, split: Split, found: str, expected: str) -> DataError:
    return DataError(f"{type(task).__name__}.dataset({split!r})", found=found, expected=expected)
