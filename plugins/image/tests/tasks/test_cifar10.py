"""On fixtures in exactly the published layout: records of 3,073 bytes in six files."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from itnet_core import DataError
from itnet_image.tasks import cifar10
from itnet_image.tasks.cifar10 import ARCHIVE, CIFAR10, FOLDER
from itnet_testing import TaskConformance


def write_cifar(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        records = random.integers(0, 256, (20, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR10.classes) + "\n\n")
    return folder


def write_archive(folder: Path, source: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / ARCHIVE, "w:gz") as tar:
        tar.add(write_cifar(source), arcname=FOLDER)
    return folder / ARCHIVE


@pytest.mark.parametrize("below", ["", FOLDER, ARCHIVE])
def test_cifar10(below: str, check_task: Any, tmp_path: Path) -> None:
    root = tmp_path / "root"
    if below == ARCHIVE:
        write_archive(root, tmp_path / "source")
    else:
        write_cifar(root / below)
    check_task(CIFAR10(root=str(root)), {"train": 90, "validation": 10, "test": 20}, (3, 32, 32))


def test_a_record_is_a_label_and_the_planes_red_green_and_blue(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    task = CIFAR10(root=str(tmp_path))
    record = np.frombuffer((tmp_path / "test_batch.bin").read_bytes(), dtype=np.uint8)[:3073]
    sample = task.dataset("test")[0]
    assert sample is not None
    assert sample.label == record[0]
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in task.normalization)
    expected = (torch.tensor(record[1:].copy()).view(3, 32, 32) / 255 - mean) / std
    torch.testing.assert_close(sample.inputs, expected)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "data_batch_3.bin: found no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "61459"),
        (lambda path: path.write_bytes(path.read_bytes()[: 5 * 3073]), "data_batch_3.bin 15365"),
        (lambda path: path.write_bytes(b"\x63" + path.read_bytes()[1:]), "the label 99 in record 40"),
    ],
)
def test_damaged_batches_are_refused_by_name(spoil: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    spoil(write_cifar(tmp_path) / "data_batch_3.bin")
    with pytest.raises(DataError, match=message):
        CIFAR10(root=str(tmp_path)).dataset("train")


def test_batches_that_are_all_cut_alike_are_refused_too(tmp_path: Path) -> None:
    for path in write_cifar(tmp_path).glob("*.bin"):
        path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="data_batch_1.bin: found 5000 bytes; expected whole records of 3073"):
        CIFAR10(root=str(tmp_path)).dataset("train")


def test_a_damaged_archive_is_refused_by_name(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "root", tmp_path / "source")
    archive.write_bytes(archive.read_bytes()[:100_000])
    with pytest.raises(DataError, match=f"{ARCHIVE}: found a damaged archive"):
        CIFAR10(root=str(archive.parent)).dataset("train")


def test_the_python_version_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py/data_batch_1").write_bytes(b"cos\nsystem\n")
    with pytest.raises(DataError, match="Use the binary version, not the Python one"):
        CIFAR10(root=str(tmp_path)).dataset("train")


def test_it_is_downloaded_only_where_the_user_says_so(
    site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = site
    published = write_archive(folder, tmp_path / "source")
    monkeypatch.setattr(cifar10, "URL", f"{address}/{ARCHIVE}")
    root = tmp_path / "data"
    with pytest.raises(DataError, match="download: true"):
        CIFAR10(root=str(root)).dataset("test")
    assert not root.exists()
    with pytest.raises(DataError, match="a download that failed"):  # its MD5 is not that of the published archive
        CIFAR10(root=str(root), download=True).dataset("test")
    monkeypatch.setattr(cifar10, "MD5", hashlib.md5(published.read_bytes()).hexdigest())
    (root / ARCHIVE).write_bytes(b"what a cut connection left")
    assert len(CIFAR10(root=str(root), download=True).dataset("test")) == 20
    published.unlink()
    assert len(CIFAR10(root=str(root), download=True).dataset("train")) == 90


class TestConformance(TaskConformance):
    component = "itnet-image/cifar-10"
    images: Sequence[Any]
    encoder: ClassVar = {"name": "itnet-image/patch", "patch_size": 4}

    @pytest.fixture(autouse=True)
    def _files(self, write_image: Callable[..., Path]) -> None:
        self.write_image = write_image

    def prepare(self, folder: Path) -> dict[str, str]:
        return {"root": str(write_cifar(folder))}

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return self.images

    def user_file(self, folder: Path) -> Path:
        return self.write_image(folder / "frog.png")
