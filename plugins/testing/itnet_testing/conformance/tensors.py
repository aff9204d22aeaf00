"""Calling modules reproducibly and comparing nested structures of tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten


def call(module: Any, batch: Any) -> Any:
    """Return a module's output for a batch, without gradients and with a fixed seed."""
    torch.manual_seed(0)
    with torch.no_grad():
        return module(batch)


def features(model: Any, batch: Any) -> Any:
    """Return the output of a model's head, or of its trunk if it has none, with a fixed seed."""
    return call(model if model.heads else model.features, batch)


def floating(tree: Any) -> list[Tensor]:
    """Return the floating tensors of a nested structure."""
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def to_float64(tensor: Tensor) -> Tensor:
    """Return a floating tensor in float64, and another one as it is."""
    return tensor.double() if tensor.is_floating_point() else tensor


def assert_same(actual: Any, expected: Any, names: str, *, tolerance: float = 1e-5, exact: bool = False) -> None:
    """Compare the tensors of two nested structures.

    Args:
        actual: the structure to check.
        expected: the reference.
        names: of both structures, for the error, such as "outputs on the GPU and the CPU".
        tolerance: relative and absolute tolerance.
        exact: compare bit for bit.

    Raises:
        AssertionError: they differ; the message gives the largest difference.
    """
    tensors = [[leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)] for tree in (actual, expected)]
    assert len(tensors[0]) == len(tensors[1]), f"{names}: found {len(tensors[0])} tensors, not {len(tensors[1])}"
    for one, other in zip(*tensors, strict=True):
        try:
            bound = {"rtol": 0, "atol": 0} if exact else {"rtol": tolerance, "atol": tolerance}
            torch.testing.assert_close(one.to(other.dtype), other, equal_nan=True, **bound)
        except AssertionError as error:
            raise AssertionError(f"{names} differ: {error}") from None
