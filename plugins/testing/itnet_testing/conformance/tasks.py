"""Checks of tasks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from itnet_core import Batch, DataError, Kind, Split, Task
from itnet_registry import Predictor
from itnet_testing.conformance.base import Conformance, skip_unless
from itnet_testing.conformance.tensors import assert_same
from itnet_testing.fields import scattered

SECRET = "the content of a secret file"


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

    def user_values(self) -> Sequence[Any]:
        """Return values in memory that a user could predict, one of each kind that the task reads."""
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

    @skip_unless(
        lambda case: type(case).user_values is not TaskConformance.user_values, "the test defines no user_values()"
    )
    def check_user_values(self) -> None:
        """`read` turns values in memory into samples that can be predicted, and refuses other values by a DataError."""
        task = self.task()
        for value in self.user_values():
            batch = task.collate([task.read(value)])
            if self.encoder is not None:
                assert len(task.describe(self.prediction(batch).detach())) == 1, f"{value!r:.60}: not one record"
        for value in (object(), {}, {"no such name": None, "nor this": None}, []):
            try:
                task.read(value)
            except DataError:
                continue
            raise AssertionError(f"`read` takes {value!r:.60} for a sample; expected a DataError")

    def check_strings_open_no_file(self) -> None:
        """`read` never opens a file that a string names, alone or in a mapping: values may come over a network."""
        file = self.folder / "secret.txt"
        file.write_text(SECRET, encoding="utf-8")
        for value in (str(file), {"file": str(file)}, {"image": str(file), "text": "what is it?"}):
            try:
                found = repr(self.task().read(value))
            except DataError as error:
                found = str(error)
            assert SECRET not in found, f"`read` opens the file that the string {str(file)!r} names"

    @skip_unless(lambda case: case.encoder is not None, "the test names no encoder")
    def check_batched_prediction(self) -> None:
        """A prediction does not depend on the other samples of its batch, where the task lets them share one."""
        task = self.task()
        data: Any = task.dataset("test")
        samples = [sample for number in range(min(4, len(data))) if (sample := data[number]) is not None]
        torch.manual_seed(0)
        model = self.small_model(encoder=self.encoder, task={"name": self.component, **self.settings}).eval()
        predictor = Predictor(model, task, device="cpu")
        together = predictor.predict_samples(samples)
        for sample, record in zip(samples, together, strict=True):
            [alone] = predictor.predict_samples([sample])
            assert not isinstance(record, Exception), f"a sample cannot be predicted: {record}"
            assert isinstance(alone, dict), f"a sample cannot be predicted: {alone}"
            assert_close_records(record, alone)


def assert_close_records(actual: Any, expected: Any, place: str = "record") -> None:
    """Assert that two JSON-native records are equal, up to the rounding of numbers.

    Example:
        >>> assert_close_records({"label": "7", "probability": 0.9}, {"label": "7", "probability": 0.9000001})
    """
    if isinstance(expected, float):
        close = math.isclose(actual, expected, rel_tol=1e-3, abs_tol=1e-4)
        assert close, f"{place}: {actual} in a batch, {expected} alone"
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys(), f"{place}: {list(actual)} in a batch, {list(expected)} alone"
        for key in expected:
            assert_close_records(actual[key], expected[key], f"{place}.{key}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), f"{place}: {len(actual)} entries in a batch, {len(expected)} alone"
        for number, pair in enumerate(zip(actual, expected, strict=True)):
            assert_close_records(*pair, f"{place}.{number}")
    else:
        assert actual == expected, f"{place}: {actual!r} in a batch, {expected!r} alone"
