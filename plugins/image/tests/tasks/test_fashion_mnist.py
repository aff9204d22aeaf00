"""On fixtures in exactly the published layout: four IDX files of unsigned bytes, gzipped."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from torchvision import datasets

from itnet_core import DataError
from itnet_image.tasks.fashion_mnist import FashionMNIST
from itnet_testing import TaskConformance

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
ToIdx = Callable[[np.ndarray], bytes]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("below", ["", "FashionMNIST/raw"])
def test_fashion_mnist(
    zipped: bool, below: str, check_task: Any, write_fashion_mnist: Callable[..., Path], tmp_path: Path
) -> None:
    write_fashion_mnist(tmp_path / below, zipped=zipped)
    task = FashionMNIST(root=str(tmp_path))
    check_task(task, {"train": 50, "validation": 10, "test": 20}, (1, 28, 28))
    assert task.classes[9] == "Ankle boot"


def test_images_are_those_that_torchvision_reads(write_fashion_mnist: Callable[..., Path], tmp_path: Path) -> None:
    write_fashion_mnist(tmp_path / "FashionMNIST/raw", zipped=False)
    ours = FashionMNIST(root=str(tmp_path)).dataset("test")
    theirs = datasets.FashionMNIST(str(tmp_path), train=False)
    assert ours.labels == theirs.targets.tolist()
    assert (ours.sources == theirs.data).all()


def replace(name: str, array: np.ndarray) -> Callable[[Path, ToIdx], object]:
    return lambda folder, to_idx: (folder / name).write_bytes(gzip.compress(to_idx(array)))


def cut(folder: Path, _: ToIdx) -> None:
    (folder / IMAGES).write_bytes((folder / IMAGES).read_bytes()[:500])


def cut_inside(folder: Path, _: ToIdx) -> None:
    (folder / IMAGES).write_bytes(gzip.compress(gzip.decompress((folder / IMAGES).read_bytes())[:5000]))


def flip_bits(folder: Path, _: ToIdx) -> None:
    data = bytearray((folder / IMAGES).read_bytes())
    data[12:200] = bytes(item ^ 0xFF for item in data[12:200])
    (folder / IMAGES).write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder, _: (folder / IMAGES).unlink(), "no such file, nor with .gz"),
        (lambda folder, _: (folder / IMAGES).write_bytes(b"nonsense"), f"{IMAGES}: found a damaged file"),
        (lambda folder, _: (folder / IMAGES).write_bytes(b""), f"{IMAGES}: found a damaged file"),
        (cut, f"{IMAGES}: found a damaged file"),
        (cut_inside, f"{IMAGES}: found a damaged file"),
        (flip_bits, f"{IMAGES}: found a damaged file"),
        (
            lambda folder, idx: (folder / LABELS).write_bytes(gzip.compress(idx(np.arange(9)))),
            f"{LABELS}: found 60 images and 9",
        ),
        (
            lambda folder, idx: (folder / LABELS).write_bytes(gzip.compress(idx(np.full(60, 11)))),
            f"{LABELS}: found the label 11",
        ),
        (
            lambda folder, idx: (folder / IMAGES).write_bytes(gzip.compress(idx(np.zeros((60, 9, 9))))),
            r"\(9, 9\) pixels",
        ),
    ],
)
@pytest.mark.parametrize("on_bad_sample", ["refuse", "skip"])
def test_damaged_files_are_refused_by_name(
    spoil: Callable[[Path, ToIdx], object],
    message: str,
    on_bad_sample: str,
    write_fashion_mnist: Callable[..., Path],
    to_idx: ToIdx,
    tmp_path: Path,
) -> None:
    spoil(write_fashion_mnist(tmp_path), to_idx)
    with pytest.raises(DataError, match=message):
        FashionMNIST(root=str(tmp_path), on_bad_sample=on_bad_sample).dataset("train")


@pytest.fixture
def published(
    site: tuple[Path, str], write_fashion_mnist: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a folder in place of the site that torchvision downloads from."""
    folder, address = site
    files = sorted(write_fashion_mnist(folder).iterdir())
    resources = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in files]
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [f"{address}/"])
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    return folder


def test_it_is_downloaded_only_where_the_user_says_so(published: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    with pytest.raises(DataError, match="download: true"):
        FashionMNIST(root=str(root)).dataset("test")
    assert not root.exists()
    assert len(FashionMNIST(root=str(root), download=True).dataset("test")) == 20
    for path in published.iterdir():
        path.unlink()
    assert len(FashionMNIST(root=str(root), download=True).dataset("train")) == 50


def test_a_download_that_fails_is_a_data_error_and_may_be_tried_again(published: Path, tmp_path: Path) -> None:
    images = published / "t10k-images-idx3-ubyte.gz"
    whole = images.read_bytes()
    images.write_bytes(whole[:1000])
    task = FashionMNIST(root=str(tmp_path / "data"), download=True)
    with pytest.raises(DataError, match="a download that failed"):
        task.dataset("test")
    images.write_bytes(whole)
    assert len(task.dataset("test")) == 20


class TestConformance(TaskConformance):
    component = "itnet-image/fashion-mnist"
    images: Sequence[Any]
    encoder: ClassVar = {"name": "itnet-image/patch", "patch_size": 4}

    @pytest.fixture(autouse=True)
    def _files(
        self, write_fashion_mnist: Callable[..., Path], write_image: Callable[..., Path], tmp_path: Path
    ) -> None:
        self.written: Mapping[str, Any] = {"root": str(write_fashion_mnist(tmp_path))}
        self.write_image = write_image

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return self.images

    def user_file(self, folder: Path) -> Path:
        return self.write_image(folder / "boot.png", mode="L")
