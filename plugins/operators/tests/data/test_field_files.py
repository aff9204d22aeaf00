from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from itnet_core import DataError
from itnet_operators.data.field_arrays import sample_of
from itnet_operators.data.field_files import Stack, read_arrays

GOOD: dict[str, Any] = {
    "inputs": np.ones((4, 2)),
    "targets": np.arange(4.0),
    "positions": np.random.default_rng(0).uniform(size=(4, 3)),
}
NAN = [[1.0, 2.0], [np.nan, 0.0], [0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"inputs": None}, "a.npz: inputs: found no such array; .*The file has positions, targets"),
        ({"targets": None}, "a.npz: targets: found no such array"),
        ({"positions": None}, "a.npz: found neither positions nor grid"),
        ({"inputs": NAN}, "a.npz: inputs: found nan at point 1, column 0; expected finite numbers"),
        ({"inputs": [1e300] * 4}, "a.npz: inputs: found inf at point 0"),
        ({"inputs": ["a"] * 4}, "a.npz: inputs: found an array of <U1; expected real numbers"),
        ({"inputs": np.ones((4, 2, 1))}, r"a.npz: inputs: found shape \(4, 2, 1\)"),
        ({"targets": [1, 2, 3]}, r"a.npz: targets: found shape \(3,\); expected shape \(4, columns\)"),
        ({"targets": [1, 2, 3, np.inf]}, "a.npz: targets: found inf at point 3; .*NaN for no target"),
        ({"targets": [np.nan] * 4}, "a.npz: targets: found NaN at all points"),
        ({"targets": [0, 0, 0, np.nan]}, "a.npz: targets: found 0 at all points; .*not defined"),
        ({"positions": np.ones((4, 5))}, r"a.npz: positions: found shape \(4, 5\); .*with 1 to 4 columns"),
        ({"positions": np.ones((3, 2))}, r"a.npz: positions: found shape \(3, 2\)"),
        ({"weights": [1, 1, 1, -1]}, "a.npz: weights: found -1.0 at point 3"),
        ({"weights": [1, 1, 1, np.nan]}, "a.npz: weights: found nan at point 3"),
        ({"weights": [0, 0, 0, 0]}, "a.npz: weights: found 0 at all points"),
        ({"weights": [1, 1]}, r"a.npz: weights: found shape \(2,\)"),
        ({"grid": [2, 3]}, r"a.npz: grid: found \[2, 3\]; expected 1 to 4 whole numbers .* 4"),
        ({"grid": [2.0, 2.0]}, "a.npz: grid: found"),
        ({"grid": 4}, "a.npz: grid: found 4"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_file_array_and_point(changed: dict[str, Any], message: str) -> None:
    arrays = {key: np.asarray(value) for key, value in {**GOOD, **changed}.items() if value is not None}
    with pytest.raises(DataError, match=message):
        sample_of(arrays, "a.npz", labelled=True)


def test_weights_are_shares_whatever_their_unit() -> None:
    for unit in (1e-300, 1.0, 1e300):
        sample = sample_of({**GOOD, "weights": unit * np.array([1, 2, 0, 1])}, "a.npz", labelled=False)
        torch.testing.assert_close(sample.weights, torch.tensor([0.25, 0.5, 0.0, 0.25]))
        assert sample.targets is None


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_row_of_a_file_of_many_is_its_sample(suffix: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    content = {"inputs": random.normal(size=(3, 6, 2)), "targets": random.normal(size=(3, 6))}
    content = {
        **content,
        "positions": random.uniform(size=(6, 2)),
        "weights": random.uniform(size=(3, 6)),
        "grid": np.array([2, 3]),
    }
    path = tmp_path / f"all{suffix}"
    write(path, content)
    stack = Stack(path)
    assert len(stack) == 3
    for number in range(3):
        arrays = stack.arrays(number)
        for key in ("inputs", "targets", "weights"):
            np.testing.assert_array_equal(arrays[key], content[key][number])
        np.testing.assert_array_equal(arrays["positions"], content["positions"])
        assert sample_of(arrays, str(path), labelled=True).grid == (2, 3)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"targets": np.ones((3, 4))}, "inputs: found no such array"),
        ({"inputs": np.ones((3, 4)), "targets": np.ones((2, 4))}, "targets: found 2 samples; expected 3, as inputs"),
        ({"inputs": np.ones(4)}, "inputs: found 1 dimensions; expected an array of shape"),
    ],
)
def test_files_of_many_that_do_not_fit_are_refused(
    suffix: str, content: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / f"all{suffix}"
    write(path, content)
    with pytest.raises(DataError, match=f"all{suffix}: {message}"):
        Stack(path)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\3\4 broken", b"\x89HDF\r\n\x1a\n broken"])
def test_damaged_files_are_refused(suffix: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"all{suffix}"
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"all{suffix}: found a damaged or unreadable file"):
        Stack(path)


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", inputs=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"a.npz: found a damaged or unreadable file \(Object arrays"):
        read_arrays(tmp_path / "a.npz")
    np.save(tmp_path / "b.npz", np.ones(3))
    with pytest.raises(DataError, match=r"b.npz"):
        read_arrays(tmp_path / "b.npz")
    with pytest.raises(DataError, match="c.npz: found no such file"):
        read_arrays(tmp_path / "c.npz")


def test_groups_of_hdf5_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file.create_group("inputs")
    with pytest.raises(DataError, match="all.h5: inputs: found a group"):
        Stack(tmp_path / "all.h5")


def write(path: Path, content: dict[str, Any]) -> None:
    if path.suffix == ".npz":
        np.savez(path, **content)
        return
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for key, value in content.items():
            file[key] = value
