"""Checks of tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from itnet_core import Batch, Kind, Split, Task
from itnet_testing.conformance.base import Conformance, skip_unless
from itnet_testing.conformance.tensors import assert_same
from itnet_testing.fields import scattered


class TaskConformance(Conformance):
    """Test class for a task, on small data that `prepare` writes.

    Example:
        >>> class TestImageFolder(TaskConformance):
        ...     component = "itnet-image/image-folder"
        ...     encoder = "itnet-image/patch"
        ...     def prepare(self, folder):
        ...         from PIL import Image
        ...         for i in range(20):
        ...             path = folder / ("cat", "dog")[i % 2] / f"{i}.png"
        ...             path.parent.mkdir(exist_ok=True)
        ...             Image.new("RGB", (32, 32), (10 * i, 0, 0)).save(path)
        ...         return {"root": str(folder), "image_size": 32}
        >>> [outcome.status for outcome in TestImageFolder().run("split_reproducibility", "loss_gradient")]
        ['passed', 'passed']

    Attributes:
        encoder: an encoder that reads the task's inputs, for checks with a model; without one, the head is checked on a
            random field.
    """

    kind: ClassVar[Kind] = "task"
    encoder: ClassVar[str | Mapping[str, Any] | None] = None

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        """Write a small data set in the published layout to an empty folder; return the options that read it."""
        return self.cls.example_options if self.options is None else self.options

    def user_file(self, folder: Path) -> Path:
        """Write a file that a user could predict to an empty folder, and return its path."""
        raise NotImplementedError

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The options that `prepare` returns."""
        (self.folder / "data").mkdir()
        return self.prepare(self.folder / "data")

    def task(self) -> Task:
        """Return a new task."""
        task: Task = self.cls(**self.settings)
        return task

    def batch(self, split: Split = "validation", most: int = 3) -> Batch:
        """Return the first samples of a split as a batch."""
        task = self.task()
        data: Any = task.dataset(split)
        return task.collate([data[number] for number in range(min(most, len(data)))])

    def prediction(self, batch: Batch) -> Tensor:
        """Return the prediction of a new model for a batch, or of the task's head for a random field."""
        torch.manual_seed(0)
        if self.encoder is None:
            head = dict(self.task().head)
            module = self.registry.create("head", head.pop("name"), dim=8, **head)
            prediction = module(scattered(len(tree_flatten(batch.targets)[0][0])))
        else:
            task = {"name": self.component, **self.settings}
            prediction = self.small_model(encoder=self.encoder, task=task)(batch.inputs)
        assert isinstance(prediction, Tensor), f"the head returns {type(prediction).__name__}; expected a tensor"
        return prediction

    def check_head(self) -> None:
        """The task names its head by a full id; that head is installed and accepts the options."""
        head = dict(self.task().head)
        assert "/" in head["name"], (
            f"head {head['name']!r} is ambiguous if another plugin has one of this name; use its full id"
        )
        self.registry.create("head", head.pop("name"), dim=8, **head)

    def check_split_reproducibility(self) -> None:
        """Every split has samples; validation and test are the same each time they are read."""
        for split in get_args(Split):
            data: Any = self.task().dataset(split)
            assert len(data), f"the {split} split is empty"
            if split != "train":
                first, second = self.batch(split), self.batch(split)
                assert_same(first, second, f"two readings of the {split} split", exact=True)

    def check_loss_gradient(self) -> None:
        """The loss is one finite number with a nonzero gradient to the prediction."""
        for split in get_args(Split):
            batch = self.batch(split)
            prediction = self.prediction(batch).detach().requires_grad_()
            loss = self.task().loss(prediction, batch.targets)
            assert loss.shape == (), f"{split}: the loss has shape {tuple(loss.shape)}; expected a scalar"
            assert loss.isfinite(), f"{split}: the loss is {loss.item()}"
            [gradient] = torch.autograd.grad(loss, prediction)
            assert gradient.isfinite().all(), f"{split}: a gradient is not finite"
            assert (gradient != 0).any(), f"{split}: the gradient is 0 everywhere"

    def check_metric_reset(self) -> None:
        """The monitored metric exists; all metrics are finite numbers and start again after a reset."""
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
            assert_same(torch.as_tensor(metric.compute()), once, f"{name} before and after reset")

    def check_description_json(self) -> None:
        """`describe` returns one record of JSON-native values per prediction."""
        batch = self.batch()
        records = self.task().describe(self.prediction(batch).detach())
        assert records, "no record"
        assert all(isinstance(record, dict) for record in records), f"found {records[0]!r}; expected a dictionary"
        assert json.loads(json.dumps(records, allow_nan=False)) == records, "a record is not the same after JSON"

    @skip_unless(lambda case: type(case).user_file is not TaskConformance.user_file, "the test defines no user_file()")
    def check_user_file(self) -> None:
        """`read` turns a user's file into a sample without a target that can be collated and predicted."""
        (self.folder / "user").mkdir()
        task = self.task()
        batch = task.collate([task.read(self.user_file(self.folder / "user"))])
        if self.encoder is not None:
            assert len(task.describe(self.prediction(batch).detach())) == 1
