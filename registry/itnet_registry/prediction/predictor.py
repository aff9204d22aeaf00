"""A loaded checkpoint that predicts values, files and tables, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from itnet_core import DataError, ITNetModel, Task
from itnet_registry.prediction.devices import find_device
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
        try:
            sample = self.read(value)
        except DataError as error:
            if isinstance(value, (list, tuple)) and not error.hint:
                error.hint = "Pass several inputs to predict."
            raise
        [record] = self.describe([sample])
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
        inputs = self.model.move_inputs(self.task.collate(samples).inputs, self.device, self.task.modality)
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
        numbered = iter(enumerate(inputs))
        while window := list(islice(numbered, WINDOW * batch_size)):
            read = [self._try_to_read(source) for _, (_, source) in window]
            results = self.predict_samples(read, batch_size)
            for (number, (name, _)), result in zip(window, results, strict=True):
                name = name or f"input {number}"
                if isinstance(result, Exception):
                    yield Prediction(name, error=f"{type(result).__name__}: {result}")
                else:
                    yield Prediction(name, result)

    def predict_samples(self, samples: Sequence[Any], batch_size: int = 32) -> list[dict[str, Any] | Exception]:
        """Predict samples of `read` in batches of similar sizes; an error takes the place of the record of its sample.

        Args:
            samples: samples; an error among them, which reading one raised, stays.
            batch_size: number of samples of a batch.
        """
        results: dict[int, dict[str, Any] | Exception] = {
            number: sample for number, sample in enumerate(samples) if isinstance(sample, Exception)
        }
        sizes = {number: _size(sample) for number, sample in enumerate(samples) if number not in results}
        for batch in _batches(sizes, batch_size, mixed=self.task.mixes_sizes):
            results |= zip(batch, self._try_to_describe([samples[number] for number in batch]), strict=True)
        return [results[number] for number in range(len(samples))]

    def _try_to_read(self, source: Any) -> Any:
        try:
            return source if isinstance(source, Exception) else self.task.read(source)
        except Exception as error:  # of the task or of a decoder: it concerns this input alone
            return error

    def _try_to_describe(self, samples: Sequence[Any]) -> Sequence[dict[str, Any] | Exception]:
        try:
            return self.describe(samples)
        except Exception as error:  # of the task, the encoder or the device
            if len(samples) == 1:
                return [error]
        return [result for sample in samples for result in self._try_to_describe([sample])]


Size = tuple[tuple[int, ...], ...]


def _batches(sizes: Mapping[int, Size], batch_size: int, *, mixed: bool) -> Iterator[list[int]]:
    """Divide numbers of samples into batches of similar sizes, or of one size unless sizes may be `mixed`."""
    ordered = sorted(sizes, key=lambda number: (sum(map(prod, sizes[number])), sizes[number]))
    for _, group in groupby(ordered, key=lambda number: None if mixed else sizes[number]):
        while batch := list(islice(group, batch_size)):
            yield batch


def _size(sample: Any) -> Size:
    """Return the shape of each tensor, and the length of each text, in a sample."""
    leaves = [leaf for leaf in tree_leaves(sample) if isinstance(leaf, Tensor | str)]
    return tuple(tuple(leaf.shape) if isinstance(leaf, Tensor) else (len(leaf),) for leaf in leaves)
