"""A loaded checkpoint that predicts values, files and tables, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from itnet_core import ITNetError, ITNetModel, Task
from itnet_registry.prediction.devices import find_device, move
from itnet_registry.prediction.inputs import Input, find_inputs

WINDOW = 4
"""Batches of inputs that are read before they are sorted by size; so many samples are in memory."""


@dataclass(frozen=True)
class Prediction:
    """The prediction for one input, or the error that prevented it.

    Example:
        >>> from itnet_registry import create_model, load, save_model
        >>> encoder = {"name": "patch", "patch_size": 2}
        >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), "digits")
        >>> [prediction] = load("digits").predict(["missing.png"])
        >>> prediction.record is None, prediction.error
        (True, 'DataError: missing.png: found no such file; ...')
    """

    name: str
    """The file, the row of a table, or the text; otherwise the number of the input, from 0."""
    record: dict[str, Any] | None = None
    """The task's description of the prediction; `None` after an error."""
    error: str | None = None
    """The error, or `None`."""


class Predictor:
    """A model with its task that stays loaded, and predicts users' inputs.

    Example:
        >>> import numpy as np
        >>> from itnet_registry import create_model, load, save_model
        >>> encoder = {"name": "patch", "patch_size": 2}
        >>> save_model(create_model("itnet-nano", depth=1, encoder=encoder, task="digits"), "digits")
        >>> predictor = load("digits", top_k=2)
        >>> predictor(np.zeros((8, 8), np.uint8))
        {'label': ..., 'probability': ..., 'likeliest': {..., ...}}
        >>> images = np.zeros((100, 8, 8), np.uint8)
        >>> len(list(predictor.predict(images)))
        100

    Args:
        model: a model in evaluation mode; it is moved to the device.
        task: its task.
        device: `auto` for a GPU if PyTorch can use one; or `cpu`, `cuda`, `cuda:1`, `mps`.
        top_k: number of likeliest labels in a record, of tasks that have labels.

    Raises:
        ConfigError: there is no such device.
    """

    def __init__(
        self, model: ITNetModel, task: Task, *, device: str | torch.device = "auto", top_k: int = Task.top_k
    ) -> None:
        self.device = find_device(device)
        self.model, self.task = model.to(self.device), task
        task.top_k = top_k

    def __call__(self, value: Any) -> dict[str, Any]:
        """Predict one value: an image, an array, a text, the `Path` of a file, …, as `Task.read` takes it.

        A string is a text for tasks that read texts, and otherwise a file name.

        Raises:
            ITNetError: the value cannot be read, or is not one input.
        """
        [record] = self.describe([self.read(value)])
        return record

    def read(self, value: Any) -> Any:
        """Read one value as a sample, for `describe`.

        Raises:
            DataError: the value cannot be read.
        """
        return self.task.read(Path(value) if isinstance(value, str) and not self.task.reads_text else value)

    def describe(self, samples: Sequence[Any]) -> list[dict[str, Any]]:
        """Predict samples in one batch, and describe each.

        Raises:
            ITNetError: the samples do not fit the model, or each other.
        """
        inputs = move(self.task.collate(samples).inputs, self.device)
        with torch.inference_mode():
            return self.task.describe(self.model(inputs, self.task.modality))

    def predict(
        self, values: Iterable[Any] | str | Path, *, batch_size: int = 32, column: str | None = None
    ) -> Iterator[Prediction]:
        """Predict values in batches, and yield the predictions in the order of the values.

        An input that cannot be predicted does not stop the others.

        Args:
            values: values as `__call__` takes them; folders, patterns such as `"images/*.png"`, and tables, of which
                each file or row is an input. A single file, folder, pattern or text need not be in a list.
            batch_size: number of samples of a batch.
            column: the column of a table that alone is the input; by default the task finds its columns.
        """
        several = [values] if isinstance(values, str | Path) else values
        return self.predict_inputs(
            (found for value in several for found in find_inputs(value, self.task, column)), batch_size
        )

    def predict_inputs(self, inputs: Iterable[Input], batch_size: int = 32) -> Iterator[Prediction]:
        """Predict inputs that `find_inputs` found, as `predict` does."""
        numbered = enumerate(inputs)
        while window := list(islice(numbered, WINDOW * batch_size)):
            found: dict[int, Prediction] = {}
            samples: list[tuple[int, str, Any]] = []
            for number, (name, source) in window:
                name = name or f"input {number}"
                try:
                    if isinstance(source, ITNetError):
                        raise source
                    samples.append((number, name, self.task.read(source)))
                except Exception as error:  # of the task or a decoder: it concerns this input alone
                    found[number] = Prediction(name, error=_message(error))
            for batch in batches(samples, batch_size, mixed=self.task.mixes_sizes):
                found |= self._predict_batch(batch)
            for number, _ in window:
                yield found[number]

    def _predict_batch(self, batch: Sequence[tuple[int, str, Any]]) -> dict[int, Prediction]:
        try:
            records = self.describe([sample for _, _, sample in batch])
        except Exception as error:  # of the task, the encoder or the device
            if len(batch) == 1:
                [(number, name, _)] = batch
                return {number: Prediction(name, error=_message(error))}
            return {number: found for one in batch for number, found in self._predict_batch([one]).items()}
        return {number: Prediction(name, record) for (number, name, _), record in zip(batch, records, strict=True)}


def batches(
    samples: Sequence[tuple[int, str, Any]], batch_size: int, *, mixed: bool
) -> Iterator[list[tuple[int, str, Any]]]:
    """Divide numbered and named samples into batches of similar sizes, or of one size unless sizes may be `mixed`."""
    sized = sorted(((size_of(item[2]), item) for item in samples), key=lambda pair: (_total(pair[0]), pair[0]))
    for _, group in groupby(sized, key=lambda pair: None if mixed else pair[0]):
        while batch := [item for _, item in islice(group, batch_size)]:
            yield batch


def size_of(sample: Any) -> tuple[tuple[int, ...], ...]:
    """Return the shape of each tensor, and the length of each text, in a sample."""
    leaves = tree_leaves(sample)
    return tuple(
        tuple(leaf.shape) if isinstance(leaf, Tensor) else (len(leaf),)
        for leaf in leaves
        if isinstance(leaf, Tensor | str)
    )


def _total(size: tuple[tuple[int, ...], ...]) -> int:
    return sum(map(prod, size))


def _message(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
