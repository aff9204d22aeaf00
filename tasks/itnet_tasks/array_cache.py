"""Arrays that are computed once and kept in files, for all processes of a machine and later runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from itnet_core import DataError
from itnet_tasks.errors import FullCacheWarning

Pixels = NDArray[np.uint8]
ENTRY = np.dtype([("start", "<i8"), ("shape", "<i4", 3), ("checksum", "<u8")])
"""Where an array is in the file, plus 1; 0 for one that is not there yet."""


class ArrayCache:
    """Arrays of uint8 by their numbers, each computed where it is first read and not again.

    One file has the arrays, in the order in which they came, and another one where each is. Processes need no lock: the
    system appends one array after another, and its entry follows. An array that does not have its checksum, after a
    loss of power or on a network drive, is computed again.

    Example:
        >>> cache = ArrayCache(Path("squares"), count=2, most=1000)
        >>> cache.get(1, lambda: np.full((2, 2, 1), 7, np.uint8)).shape
        (2, 2, 1)
        >>> cache.get(1, lambda: np.zeros((9, 9, 9), np.uint8)).sum()  # not computed again
        np.uint64(28)

    Args:
        path: a name; the files have the suffixes `.data` and `.index`.
        count: number of arrays.
        most: bytes of all arrays, about; further ones are computed each time, with a `FullCacheWarning`.

    Raises:
        DataError: the files cannot be written.
    """

    def __init__(self, path: Path, count: int, most: int) -> None:
        self.data, self.index = path.with_name(f"{path.name}.data"), path.with_name(f"{path.name}.index")
        self.most, self.full = most, False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.data.touch()
            with self.index.open("ab") as index:  # zeros to the end, whatever is there
                if index.tell() < count * ENTRY.itemsize:
                    index.truncate(count * ENTRY.itemsize)
        except OSError as error:
            found = error.strerror or str(error)
            hint = "Set ITNET_CACHE to another folder, or leave the cache out."
            raise DataError(str(path), found=found, expected="a folder to write to", hint=hint) from error

    def get(self, number: int, compute: Callable[[], Pixels]) -> Pixels:
        """Return an array of three dimensions; `compute` makes it if it is not there."""
        with suppress(OSError, IndexError):
            if (found := self._read(number)) is not None:
                return found
        array = np.ascontiguousarray(compute())
        with suppress(OSError):  # as on a full disk: the array is computed again next time
            self._write(number, array)
        return array

    def _read(self, number: int) -> Pixels | None:
        with self.index.open("rb") as index:
            entry = np.fromfile(index, ENTRY, 1, offset=number * ENTRY.itemsize)[0]
        if not entry["start"]:
            return None
        with self.data.open("rb") as data:
            array = np.fromfile(data, np.uint8, int(entry["shape"].prod()), offset=int(entry["start"]) - 1)
        return array.reshape(entry["shape"]) if _checksum(array) == entry["checksum"] else None

    def _write(self, number: int, array: Pixels) -> None:
        if self.full or self.data.stat().st_size + array.nbytes > self.most:
            if not self.full:
                self.full = True
                found = f"{self.data}: the cache of {self.most / 1e9:g} GB is full"
                rest = "further samples are decoded each time. Raise cache_gigabytes."
                warnings.warn(f"{found}; {rest}", FullCacheWarning, stacklevel=4)
            return
        descriptor = os.open(self.data, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        try:
            if os.write(descriptor, array.data) < array.nbytes:
                return
            start = os.lseek(descriptor, 0, os.SEEK_CUR) - array.nbytes
        finally:
            os.close(descriptor)
        entry = np.array([(start + 1, array.shape, _checksum(array))], ENTRY)
        with self.index.open("r+b") as index:
            index.seek(number * ENTRY.itemsize)
            index.write(entry.tobytes())


def _checksum(array: Pixels) -> int:
    """Return the sum of the words of 8 bytes and 1: no hash, which would take a tenth of the time of loading."""
    flat = array.reshape(-1)
    whole = len(flat) // 8 * 8
    return (int(flat[:whole].view("<u8").sum(dtype=np.uint64)) + int(flat[whole:].sum()) + 1) % 2**64
