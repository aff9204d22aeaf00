"""Check users' values in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from itnet_core import DataError

PLACE = "input"
"""Place of a value in errors; it has no file."""


def unreadable(value: Any, expected: str) -> DataError:
    """Return the error for a value of another kind than a task reads.

    Example:
        >>> raise unreadable("cat.png", "an image")
        Traceback (most recent call last):
        itnet_core.plugin.errors.DataError: input: found the text 'cat.png'; expected an image. A file is a Path...
    """
    hint = "A file is a Path: Path('7.png')." if isinstance(value, str) else ""
    found = f"the text {value!r:.60}" if isinstance(value, str) else f"a {type(value).__name__}"
    if isinstance(value, Mapping):
        found = f"a mapping of {', '.join(map(repr, value)) or 'nothing'}"[:200]
    return DataError(PLACE, found=found, expected=expected, hint=hint)


def one_of(value: Any, *names: str) -> Any:
    """Return the value of a mapping by the first of these names that it has, or its only one; or another value itself.

    So the row of a table is read like the value in its column.

    Example:
        >>> one_of({"image": 1, "note": 2}, "image"), one_of({"any": 3}, "image"), one_of(4, "image")
        (1, 3, 4)

    Raises:
        DataError: a mapping has several values, and none by these names.
    """
    if not isinstance(value, Mapping):
        return value
    found = [value[name] for name in names if name in value] or list(value.values())
    if len(found) == 1 or any(name in value for name in names):
        return found[0]
    raise unreadable(value, f"one by the name {' or '.join(names)}")


def as_array(value: Any, expected: str, ndim: tuple[int, ...] = ()) -> NDArray[Any]:
    """Return the numbers of an array, a tensor, or nested lists.

    Example:
        >>> as_array([[1, 2], [3, 4]], "a matrix", ndim=(2,)).shape
        (2, 2)

    Args:
        value: what a user gave.
        expected: what the task reads, for errors.
        ndim: the numbers of dimensions that it may have; by default any.

    Raises:
        DataError: the value has no numbers, or another number of dimensions; or lists have different lengths.
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__"):
        raise unreadable(value, expected)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise DataError(PLACE, found=f"no array ({error})", expected=expected) from None
    if array.dtype.kind not in "biuf" or not array.size or (ndim and array.ndim not in ndim):
        raise DataError(PLACE, found=f"an array of {array.dtype} of shape {array.shape}", expected=expected)
    return array
