"""Batches of any form: map their tensors, move them, and split them into samples."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from copy import copy
from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from itnet_core.operator.field import Field
from itnet_core.plugin.errors import ShapeError

TensorMap = Callable[[Any, Callable[[Tensor], Tensor]], Any]
"""A function such as `map_tensors`."""


@runtime_checkable
class Movable(Protocol):
    """A container that moves its own tensors."""

    def to(self, device: torch.device) -> Any:
        """Return the container on a device."""


def map_tensors(batch: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return a batch with a function applied to each tensor in its tuples, lists, mappings, dataclasses and fields.

    Other objects stay as they are.

    Example:
        >>> map_tensors({"x": torch.zeros(2), "names": ["a", "b"]}, lambda tensor: tensor + 1)
        {'x': tensor([1., 1.]), 'names': ['a', 'b']}
    """

    def mapped(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return function(leaf)
        parts = _parts(leaf)
        return leaf if parts is None else _with_parts(leaf, {n: map_tensors(v, function) for n, v in parts.items()})

    return tree_map(mapped, batch)


def move(batch: Any, device: torch.device | str, tensors: TensorMap = map_tensors) -> Any:
    """Return a batch on a device; an object that `tensors` does not map is moved by its own method `to`.

    Example:
        >>> move((torch.zeros(2), "a"), "cpu")
        (tensor([0., 0.]), 'a')

    Args:
        batch: the batch.
        device: the device.
        tensors: maps the tensors of the batch, such as `Encoder.map_tensors`.
    """
    target = torch.device(device)
    moved = tensors(batch, lambda tensor: tensor.to(target, non_blocking=True))
    return tree_map(lambda leaf: leaf.to(target) if isinstance(leaf, Movable) else leaf, moved)


def split_batch(batch: Any) -> list[Any]:
    """Split a batch into batches of one sample.

    Tensors, fields and lists hold an entry for each sample; tuples, mappings and dataclasses hold such parts. Numbers,
    strings and other objects inside of them are the same for all samples.

    Example:
        >>> split_batch({"x": torch.arange(2), "names": ["a", "b"], "rate": 8000})
        [{'x': tensor([0]), 'names': ['a'], 'rate': 8000}, {'x': tensor([1]), 'names': ['b'], 'rate': 8000}]

    Raises:
        ShapeError: the batch is another object, or its parts have different numbers of samples.
    """
    samples = _samples(batch)
    if samples is None:
        found, expected = type(batch).__name__, "tensors, fields or lists, alone or in tuples, mappings or dataclasses"
        raise ShapeError("split", found=found, expected=expected, hint="Override Encoder.split for such batches.")
    return samples


def _samples(batch: Any) -> list[Any] | None:
    """Return the samples of a batch, or `None` for an object that is the same for all samples."""
    if isinstance(batch, list):
        return [[entry] for entry in batch]
    if isinstance(batch, Field) or (isinstance(batch, Tensor) and batch.ndim):
        size = len(batch.values if isinstance(batch, Field) else batch)
        return [tree_map(lambda tensor, n=number: tensor[n : n + 1], batch) for number in range(size)]
    parts = dict(enumerate(batch)) if isinstance(batch, tuple) else _parts(batch)
    samples = {name: found for name, part in (parts or {}).items() if (found := _samples(part)) is not None}
    if not samples:
        return None
    sizes = {name: len(found) for name, found in samples.items()}
    if len(set(sizes.values())) > 1:
        raise ShapeError("split", found=f"samples {sizes}", expected="equally many in each part")
    return [
        _with_parts(batch, {name: found[number] for name, found in samples.items()})
        for number in range(next(iter(sizes.values())))
    ]


def _parts(batch: Any) -> dict[Any, Any] | None:
    """Return the entries of a mapping or the fields of a dataclass; `None` for another object."""
    if isinstance(batch, MutableMapping):
        return dict(batch)
    if is_dataclass(batch) and not isinstance(batch, type):
        return {field.name: getattr(batch, field.name) for field in fields(batch) if field.init}
    return None


def _with_parts(batch: Any, parts: dict[Any, Any]) -> Any:
    """Return a copy of a tuple, mapping or dataclass with other parts."""
    if isinstance(batch, tuple):
        entries = [parts.get(number, entry) for number, entry in enumerate(batch)]
        return tuple(entries) if type(batch) is tuple else type(batch)(*entries)
    if isinstance(batch, MutableMapping):
        copied = copy(batch)
        copied.update(parts)
        return copied
    return replace(batch, **parts)
