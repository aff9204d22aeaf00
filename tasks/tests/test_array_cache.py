from __future__ import annotations

import errno
import os
import warnings
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from itnet_core import DataError
from itnet_tasks.array_cache import ArrayCache
from itnet_tasks.errors import FullCacheWarning


def array(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (number % 7 + 1, 5, 1 + 2 * (number % 2)), dtype=np.uint8)


def never() -> NoReturn:
    raise AssertionError("computed again")


def fill(path: Path, numbers: list[int]) -> None:
    cache = ArrayCache(path, 50, 10**6)
    for number in numbers:
        np.testing.assert_array_equal(cache.get(number, partial(array, number)), array(number))


def test_arrays_are_computed_once(tmp_path: Path) -> None:
    fill(tmp_path / "a", [3, 0, 49])
    cache = ArrayCache(tmp_path / "a", 50, 10**6)
    for number in (0, 3, 49):
        np.testing.assert_array_equal(cache.get(number, never), array(number))
    with pytest.raises(AssertionError, match="computed again"):
        cache.get(1, never)


def test_processes_that_write_at_once_do_not_mix_their_arrays(tmp_path: Path) -> None:
    context = get_context("fork")
    orders = [[(start + step) % 50 for step in range(50)] for start in (0, 0, 25, 49)]
    processes = [context.Process(target=fill, args=(tmp_path / "a", order)) for order in orders]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    cache = ArrayCache(tmp_path / "a", 50, 10**6)
    for number in range(50):
        np.testing.assert_array_equal(cache.get(number, never), array(number))


@pytest.mark.parametrize("suffix", [".data", ".index"])
@pytest.mark.parametrize("change", [lambda content: content[:9], lambda content: bytes(len(content)), lambda _: b""])
def test_damaged_files_are_noticed(suffix: str, change: object, tmp_path: Path) -> None:
    numbers = list(range(9))
    fill(tmp_path / "a", numbers)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    fill(tmp_path / "a", numbers)
    fill(tmp_path / "a", numbers)


def test_a_full_cache_warns_once_and_keeps_what_it_has(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path / "a", 9, most=3 * array(6).nbytes)
    with warnings.catch_warnings(record=True, action="always") as caught:
        for number in [6] * 3 + list(range(9)):
            np.testing.assert_array_equal(cache.get(number, partial(array, number)), array(number))
    [warning] = caught
    assert warning.category is FullCacheWarning
    assert "is full; further samples are decoded each time. Raise" in str(warning.message)
    assert cache.data.stat().st_size <= cache.most
    cache.get(6, never)


def test_a_full_disk_costs_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        fill(tmp_path / "a", [1, 2])
    fill(tmp_path / "a", [1, 2])
    with warnings.catch_warnings(action="error"):
        ArrayCache(tmp_path / "a", 50, 10**6).get(2, never)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="expected a folder to write to. Set ITNET_CACHE"):
        ArrayCache(tmp_path / "file/a", 1, 1)
