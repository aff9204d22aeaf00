"""The parts of a run, built and checked from a configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, get_args

import torch

from itnet_core import ConfigError, ITNetError, ITNetModel, Split, Task, initialize_scales
from itnet_registry import create_model
from itnet_registry.config.heads import check_heads
from itnet_registry.errors import ComponentError, one_line
from itnet_train.config import TrainConfig
from itnet_train.console import quiet_lightning
from itnet_train.data.batches import collate
from itnet_train.data.datamodule import TaskData
from itnet_train.data.seeding import derive_seed, seed_everything
from itnet_train.engine.module import TaskModule
from itnet_train.engine.scores import check_monitor
from itnet_train.engine.tasks import create_tasks
from itnet_train.engine.trainer import create_trainer

SCALE_SAMPLES = 16
"""Training samples of each task that the kernels' scales are fitted to."""


@dataclass(frozen=True)
class Run:
    """A model, its tasks and the training section, built from a configuration."""

    model: ITNetModel
    """A new model, its weights drawn from the seed."""
    tasks: Mapping[str, Task]
    """The model's tasks by modality."""
    config: TrainConfig
    """The section `train`."""

    @classmethod
    def from_sections(cls, sections: Mapping[str, Any]) -> Run:
        """Build the parts from the sections of a configuration.

        Raises:
            ITNetError: the configuration is invalid, a component is not installed, or the model has no task.
        """
        config = TrainConfig.from_sections(sections)
        seed_everything(derive_seed(config.seed, "weights"))
        model = create_model(**sections.get("model", {}))
        tasks = create_tasks(model)
        check_heads(tasks, (model.config or {}).get("heads", {}))
        for modality in config.tasks.keys() - tasks.keys():
            raise ConfigError(
                f"train.tasks.{modality}",
                found=f"options for a task of {modality}",
                expected=f"one of {', '.join(tasks)}",
            )
        return cls(model, tasks, config)

    @property
    def complete_config(self) -> dict[str, Any]:
        """The configuration with all defaults filled in."""
        return {"model": self.model.config, "train": self.config.model_dump(mode="json")}

    @property
    def parameters(self) -> int:
        """Number of the model's parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def data(self) -> TaskData:
        """The splits of the tasks."""
        return TaskData(self.tasks, self.config)

    def check(self) -> dict[str, int]:
        """Check the devices, and evaluate the first samples of each split.

        A fault that would otherwise end the first validation or the final test is found before training starts.

        Returns:
            The number of samples of each split; with several tasks the names are `image/train`.

        Raises:
            ITNetError: a device or a split is missing, a task monitors a metric that it does not have, or the model,
                the loss and the metrics do not fit together.
        """
        with quiet_lightning():
            create_trainer(self.config)
        with _attribute_errors("the metrics of the tasks"):
            for task in self.tasks.values():
                check_monitor(task)
            module = TaskModule(self.model, self.tasks, self.config).eval()
        sizes = {}
        for modality, split in product(self.tasks, get_args(Split)):
            samples = self.data.dataset(modality, split)
            sizes[split if len(self.tasks) == 1 else f"{modality}/{split}"] = len(samples)
            with torch.no_grad(), _attribute_errors(f"the first samples of {modality}/{split}"):
                module.dry_run(modality, self.data.first_samples(modality, split, 2))
        self.model.train()
        return sizes

    def initialize_scales(self) -> None:
        """Fit the scales of the new model's kernels to the first training samples of each task.

        The result is the same on every device, because samples and augmentation follow from the seed.
        """
        seed_everything(derive_seed(self.config.seed, "scales"))
        batches = []
        for modality, task in self.tasks.items():
            samples = self.data.first_samples(modality, "train", SCALE_SAMPLES)
            batches.append((collate(task, samples).batch.inputs, modality))
        initialize_scales(self.model, *batches)


@contextmanager
def _attribute_errors(place: str) -> Iterator[None]:
    """Raise an exception of a task's or a model's code as a `ComponentError` that names a place."""
    try:
        yield
    except (ITNetError, OSError):
        raise
    except Exception as error:
        expected = "a task whose samples, loss and metrics fit the model"
        raise ComponentError(place, found=one_line(error), expected=expected) from error
