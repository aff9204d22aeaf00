"""What the kit checks of tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from itnet_core import Batch, Split, Task
from itnet_core.plugin.specs import Kind
from itnet_testing.conformance import Conformance, due_when, same
from itnet_testing.fields import scattered


class TaskConformance(Conformance):
    """Checks of a task on small data, which `prepare` writes.

    Attributes:
        encoder: one that reads its inputs, for the checks with a model; without, its head is checked on a random field.
    """

    kind: ClassVar[Kind] = "task"
    encoder: str | Mapping[str, Any] | None = None

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        """Write small data in the published layout into an empty folder; return the options that read it."""
        return self.cls.example_options if self.options is None else self.options

    def user_file(self, folder: Path) -> Path:
        """Return a file that a user might want predicted, written into an empty folder."""
        raise NotImplementedError

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The options that `prepare` gives."""
        (self.folder / "data").mkdir()
        return self.prepare(self.folder / "data")

    def task(self) -> Task:
        """Return a new task."""
        found: Task = self.cls(**self.settings)
        return found

    def batch(self, split: Split = "validation", most: int = 3) -> Batch:
        """Return the first samples of a split as a batch."""
        task = self.task()
        data: Any = task.dataset(split)
        return task.collate([data[number] for number in range(min(most, len(data)))])

    def prediction(self, batch: Batch) -> Tensor:
        """Return what a new model, or the task's head on a random field, predicts for a batch."""
        torch.manual_seed(0)
        if self.encoder is None:
            head = dict(self.task().head)
            module = self.registry.create("head", head.pop("name"), dim=8, **head)
            found = module(scattered(len(tree_flatten(batch.targets)[0][0])))
        else:
            task = {"name": self.component, **self.settings}
            found = self.small_model(encoder=self.encoder, task=task)(batch.inputs)
        assert isinstance(found, Tensor), f"the head gives {type(found).__name__}; expected a tensor"
        return found

    def check_head_is_there(self) -> None:
        """The head that it asks for, by its name in full, is installed and takes its options."""
        head = dict(self.task().head)
        assert "/" in head["name"], (
            f"head {head['name']!r} stands for two once another plugin has it; write its whole id"
        )
        self.registry.create("head", head.pop("name"), dim=8, **head)

    def check_splits_are_steady(self) -> None:
        """Every split has samples, and validation and test are the same each time they are read."""
        for split in get_args(Split):
            data: Any = self.task().dataset(split)
            assert len(data), f"the {split} split is empty"
            if split != "train":
                first, second = self.batch(split), self.batch(split)
                same(first, second, f"two readings of the {split} split", exact=True)

    def check_loss_has_a_gradient(self) -> None:
        """The loss of a prediction is one finite number with a gradient."""
        for split in get_args(Split):
            batch = self.batch(split)
            prediction = self.prediction(batch).detach().requires_grad_()
            loss = self.task().loss(prediction, batch.targets)
            assert loss.shape == (), f"{split}: the loss has shape {tuple(loss.shape)}; expected a scalar"
            assert loss.isfinite(), f"{split}: the loss is {loss.item()}"
            [gradient] = torch.autograd.grad(loss, prediction)
            assert gradient.isfinite().all(), f"{split}: a gradient is not finite"
            assert (gradient != 0).any(), f"{split}: the gradient is 0 everywhere"

    def check_metrics_forget(self) -> None:
        """The metric that it monitors is among its metrics; all are finite numbers, and forget when they are reset."""
        task, batch = self.task(), self.batch()
        prediction = self.prediction(batch).detach()
        metrics = task.metrics()
        assert task.monitor in metrics, f"monitor is {task.monitor!r}; expected one of {', '.join(metrics)}"
        assert task.monitor_mode in ("max", "min"), f"monitor_mode is {task.monitor_mode!r}; expected max or min"
        for name, metric in metrics.items():
            metric.update(prediction, batch.targets)
            once = torch.as_tensor(metric.compute())
            assert once.shape == (), f"{name} has shape {tuple(once.shape)}; expected a number"
            assert once.isfinite(), f"{name} is {once.item()}"
            metric.update(-prediction, batch.targets)
            metric.reset()
            metric.update(prediction, batch.targets)
            same(torch.as_tensor(metric.compute()), once, f"{name} before and after reset")

    def check_description_is_json(self) -> None:
        """Predictions are described one record each, of JSON-native values."""
        batch = self.batch()
        found = self.task().describe(self.prediction(batch).detach())
        assert found, "no record"
        assert all(isinstance(record, dict) for record in found), f"found {found[0]!r}; expected a dictionary"
        assert json.loads(json.dumps(found, allow_nan=False)) == found, "a record is not the same after JSON"

    @due_when(lambda case: type(case).user_file is not TaskConformance.user_file)
    def check_reads_a_users_file(self) -> None:
        """A user's file becomes a sample without a target, which fits into a batch."""
        (self.folder / "user").mkdir()
        task = self.task()
        batch = task.collate([task.read(self.user_file(self.folder / "user"))])
        if self.encoder is not None:
            assert len(task.describe(self.prediction(batch).detach())) == 1
