"""Files of fields: NumPy's .npz, and HDF5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from itnet_core import DataError
from itnet_operators.data.field_arrays import KEYS, LAYOUT
from itnet_tasks import open_data

HDF5 = (".h5", ".hdf5")
SUFFIXES = (".npz", *HDF5)
"""Suffixes of files of many samples; a file of one sample is an .npz."""

NDIM = {"inputs": 3, "targets": 3, "positions": 3, "weights": 2, "grid": 2}
"""Dimensions of an array that has one entry per sample."""


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a field from an .npz file, without unpickling.

    Example:
        >>> np.savez("flow.npz", inputs=np.zeros((4, 1)), note=np.array("not read"))
        >>> list(read_arrays(Path("flow.npz")))
        ['inputs']

    Raises:
        DataError: the file is missing, damaged or of another format.
    """
    expected = f"an .npz file of {LAYOUT}"
    with open_data(path, expected) as file, _damage(path, expected):
        content = np.load(file, allow_pickle=False)
        if not isinstance(content, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        return {key: content[key] for key in KEYS if key in content.files}


class Stack:
    """A file of many samples, whose arrays have a leading sample axis; an .npz file is held in memory.

    `positions`, `weights` and `grid` may lack the sample axis: all samples share them.

    Example:
        >>> np.savez("flows.npz", inputs=np.zeros((3, 4, 1)), positions=np.zeros((4, 2)))
        >>> stack = Stack(Path("flows.npz"))
        >>> len(stack), stack.arrays(2)["positions"].shape
        (3, (4, 2))

    Args:
        path: the file.

    Raises:
        DataError: the file is missing, damaged or of another format, or an array has another number of samples.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._memory = None if path.suffix.lower() in HDF5 else read_arrays(path)
        with self._opened() as content:
            self.shared = {key for key in content if self._is_shared(key, content[key].ndim)}
            sizes = {key: len(content[key]) for key in content if key not in self.shared}
        if "inputs" not in sizes:
            raise DataError(f"{path}: inputs", found="no such array", expected="an array of shape (samples, N, c)")
        for key, size in sizes.items():
            if size != sizes["inputs"]:
                expected = f"{sizes['inputs']}, as inputs"
                raise DataError(f"{path}: {key}", found=f"{size} samples", expected=expected)
        self._size = sizes["inputs"]

    def __len__(self) -> int:
        return self._size

    def arrays(self, index: int) -> dict[str, NDArray[Any]]:
        """Return the arrays of a sample.

        Raises:
            DataError: the file is damaged.
        """
        with self._opened() as content:
            return {key: np.asarray(content[key][() if key in self.shared else index]) for key in content}

    def _is_shared(self, key: str, ndim: int) -> bool:
        if key in ("positions", "weights", "grid"):
            return bool(ndim < NDIM[key])
        if ndim < 2 or ndim > NDIM[key]:
            expected = "an array of shape (samples, N, columns) or (samples, N)"
            raise DataError(f"{self.path}: {key}", found=f"{ndim} dimensions", expected=expected)
        return False

    @contextmanager
    def _opened(self) -> Iterator[Mapping[str, Any]]:
        """Open the arrays, and for HDF5 the file, opened again for each sample so that processes share it."""
        if self._memory is not None:
            yield self._memory
            return
        expected = f"an HDF5 file of {LAYOUT}, with a leading sample axis"
        try:
            import h5py
        except ImportError:
            hint = "Install it: pip install 'itnet-operators[hdf5]'."
            raise DataError(str(self.path), found="no package h5py", expected="h5py for HDF5", hint=hint) from None
        with open_data(self.path, expected) as file, _damage(self.path, expected), h5py.File(file, "r") as content:
            arrays = {key: content[key] for key in KEYS if key in content}
            for key, array in arrays.items():
                if not isinstance(array, h5py.Dataset):
                    raise DataError(f"{self.path}: {key}", found="a group", expected="a data set of numbers")
            yield arrays


class StackRow(NamedTuple):
    """A sample of a file of many.

    Attributes:
        stack: the file.
        number: number of the sample, from 0.
    """

    stack: Stack
    number: int

    def __str__(self) -> str:
        return f"{self.stack.path}[{self.number}]"


@contextmanager
def _damage(path: Path, expected: str) -> Iterator[None]:
    """Raise whatever a damaged file makes a reader raise as a `DataError`."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        found = f"a damaged or unreadable file ({str(error).rstrip('.') or type(error).__name__})"
        raise DataError(str(path), found=found, expected=expected, hint="Replace or remove it.") from error
