"""The parts of a run, and the checks before it starts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, cast, get_args

import torch
from lightning.pytorch import Callback
from torch import nn

from itnet_core import ITNetError, ITNetModel, Split, Task, initialize_scales
from itnet_registry import ConfigSection, load_weights
from itnet_registry.build.predictions import check_predictions
from itnet_registry.errors import ComponentError, one_line
from itnet_train.config import TrainConfig
from itnet_train.console import quiet_lightning
from itnet_train.data.batches import collate
from itnet_train.data.datamodule import TaskData
from itnet_train.data.seeding import derive_seed, seed_everything
from itnet_train.engine.blocks import check_blocks
from itnet_train.engine.freezing import freeze_parts
from itnet_train.engine.loggers import check_loggers
from itnet_train.engine.module import TaskModule
from itnet_train.engine.optimizer import create_optimizer
from itnet_train.engine.parallel import named_blocks
from itnet_train.engine.scores import check_monitor
from itnet_train.engine.single_modality import own_module
from itnet_train.engine.trainer import create_trainer

SCALE_SAMPLES = 16
"""Training samples of each task that the kernels' scales are fitted to."""


@dataclass(frozen=True)
class Run(ABC):
    """Base of runs: a model, its tasks and the training section."""

    model: nn.Module
    """A new model, called as an `ITNetModel` is: `model(inputs, modality)`."""
    tasks: Mapping[str, Task]
    """The model's tasks by modality."""
    config: TrainConfig
    """The section `train`."""
    sections: Mapping[str, ConfigSection] = field(default_factory=dict)
    """Further sections, which may score the model after each epoch."""
    preset: str = ""
    """Name of the preset that the model was made of, if any."""

    @property
    @abstractmethod
    def complete_config(self) -> dict[str, Any]:
        """The configuration with all defaults filled in."""

    @property
    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Versions of the software that the result depends on."""

    @property
    @abstractmethod
    def may_skip_parameters(self) -> bool:
        """Whether a batch may leave some parameters unused."""

    @abstractmethod
    def save(self, model: nn.Module, path: Path) -> None:
        """Write a checkpoint of the model, or of a copy with other weights, to a folder."""

    @abstractmethod
    def load(self, path: Path) -> nn.Module:
        """Return the model with the weights of a checkpoint."""

    def prepare(self, *, resumed: bool = False) -> None:
        """Load the weights that training starts from, unless they come from a state to resume, and freeze parts.

        Raises:
            ITNetError: the weights cannot be read or do not fit, or the model has no part that is to be frozen.
        """
        init = self.config.init
        if init is not None and not resumed:
            load_weights(own_module(self.model), init.checkpoint, new=init.new, download=init.download)
        freeze_parts(self.model, self.config.freeze)

    @cached_property
    def data(self) -> TaskData:
        """The splits of the tasks."""
        return TaskData(self.tasks, self.config)

    def check(self) -> dict[str, int]:
        """Check the devices and whether the model suits the tasks, and evaluate the first samples of each split.

        A fault that would otherwise end the first validation or the final test is found before training starts.

        Returns:
            The number of samples of each split; with several tasks the names are `image/train`.

        Raises:
            ITNetError: a device or a split is missing, a task monitors a metric that it does not have, or the model,
                the loss and the metrics do not fit together.
        """
        with quiet_lightning():
            create_trainer(self.config)
        if self.config.sharded:
            named_blocks(self.model, self.config)
        with attribute_errors("the metrics of the tasks"):
            for task in self.tasks.values():
                check_monitor(task)
            module = TaskModule(self.model, self.tasks, self.config).eval()
        check_loggers(self.config)
        check_blocks(self.model, self.config)
        create_optimizer(self.model, self.config)
        with attribute_errors("the check of the model"):
            check_predictions(self.model, self.tasks)
        sizes = {}
        for modality, split in product(self.tasks, get_args(Split)):
            samples = self.data.dataset(modality, split)
            sizes[split if len(self.tasks) == 1 else f"{modality}/{split}"] = len(samples)
            with torch.no_grad(), attribute_errors(f"the first samples of {modality}/{split}"):
                module.dry_run(modality, self.data.first_samples(modality, split, 2))
        for name, section in self.sections.items():
            with attribute_errors(f"the scores of the section {name}"):
                self.section_scores(section, self.model, 0)
        self.section_callbacks()
        module.train()
        return sizes

    def section_scores(self, section: ConfigSection, model: nn.Module, epoch: int) -> Mapping[str, float]:
        """Return what a section scores of the model, or of a copy with other weights, after an epoch."""
        validation = {modality: self.data.dataset(modality, "validation") for modality in self.tasks}
        return section.epoch_scores(cast(ITNetModel, model), self.tasks, validation, epoch)

    def section_callbacks(self) -> list[Callback]:
        """Return new callbacks of the sections.

        Raises:
            ComponentError: a section fails to make them, or makes something else.
        """
        found: list[Callback] = []
        for name, section in self.sections.items():
            with attribute_errors(f"the callbacks of the section {name}"):
                made = section.callbacks()
            if other := next((item for item in made if not isinstance(item, Callback)), None):
                expected = "lightning.pytorch.Callback"
                raise ComponentError(f"the callbacks of the section {name}", found=f"{other!r:.60}", expected=expected)
            found += made
        return found

    def initialize_scales(self, count: int = SCALE_SAMPLES) -> None:
        """Fit the scales of the new model's kernels to the first `count` training samples of each task.

        The result is the same on every device, because samples and augmentation follow from the seed.
        """
        seed_everything(derive_seed(self.config.seed, "scales"))
        batches = []
        for modality, task in self.tasks.items():
            samples = self.data.first_samples(modality, "train", count)
            batches.append((collate(task, samples).batch.inputs, modality))
        initialize_scales(self.model, *batches)


@contextmanager
def attribute_errors(place: str) -> Iterator[None]:
    """Raise an exception of a task's or a model's code as a `ComponentError` that names a place."""
    try:
        yield
    except (ITNetError, OSError):
        raise
    except Exception as error:
        expected = "a task whose samples, loss and metrics fit the model"
        raise ComponentError(place, found=one_line(error), expected=expected) from error
