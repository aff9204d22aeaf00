"""The tasks, on fixtures in exactly the published layouts."""

from __future__ import annotations

import gzip
import json
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from itnet_core import ConfigError, DataError, Task
from itnet_image.cifar10 import CIFAR10
from itnet_image.dataset import stratified
from itnet_image.digits import Digits
from itnet_image.fashion_mnist import FashionMNIST
from itnet_image.folder import ImageFolder
from itnet_image.imagenet import ImageNet1k

RANDOM = np.random.default_rng(0)


def write_idx(path: Path, array: np.ndarray[Any, Any], *, zipped: bool) -> None:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    data = header + array.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    if zipped:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(data))
    else:
        path.write_bytes(data)


def write_fashion_mnist(folder: Path, *, zipped: bool) -> None:
    for part, count in (("train", 60), ("t10k", 20)):
        write_idx(folder / f"{part}-images-idx3-ubyte", RANDOM.integers(0, 256, (count, 28, 28)), zipped=zipped)
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(count) % 10, zipped=zipped)


def write_cifar(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        records = RANDOM.integers(0, 256, (20, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())


def check_task(task: Task, sizes: dict[str, int], shape: tuple[int, ...]) -> None:
    """What holds for every task of classification."""
    for split, size in sizes.items():
        assert len(task.dataset(split)) == size  # type: ignore[arg-type]
    batch = task.collate([task.dataset("train")[i] for i in range(4)])
    assert batch.inputs.shape == (4, *shape)
    assert batch.inputs.isfinite().all()
    assert batch.inputs.std() > 0.1
    classes = task.head["classes"]
    logits = torch.nn.functional.one_hot(batch.targets, classes).float() * 50
    assert task.loss(logits, batch.targets) < task.loss(logits.roll(1, 1), batch.targets)
    for metric in task.metrics().values():
        metric.update(logits, batch.targets)
        assert metric.compute() == 1
    records = task.describe(logits)
    assert len(records) == 4
    assert all(record["probability"] > 0.99 for record in records)
    json.dumps(records)


def test_digits() -> None:
    task = Digits()
    check_task(task, {"train": 1295, "validation": 143, "test": 359}, (1, 8, 8))
    assert task.encoder_options == {"channels": 1}
    assert {sample.label for sample in task.dataset("test")} == set(range(10))  # type: ignore[attr-defined]
    assert task.describe(torch.eye(10)[[7]] * 9)[0]["label"] == "7"


def test_splits_do_not_overlap_and_are_stratified() -> None:
    labels = torch.arange(100) % 4
    rest, part = stratified(labels, 0.2, seed=1)
    assert sorted(torch.cat([rest, part]).tolist()) == list(range(100))
    assert Counter(labels[part].tolist()) == dict.fromkeys(range(4), 5)
    assert torch.equal(part, stratified(labels, 0.2, seed=1)[1])
    assert not torch.equal(part, stratified(labels, 0.2, seed=2)[1])


def test_the_test_split_does_not_depend_on_the_configuration() -> None:
    first, second = (Digits(seed=seed, validation=share).dataset("test") for seed, share in ((0, 0.1), (5, 0.3)))
    assert first.labels == second.labels
    assert torch.equal(first[3].picture, second[3].picture)  # type: ignore[union-attr]


def test_evaluation_is_the_same_every_time_and_training_is_augmented() -> None:
    test, train = Digits().dataset("test"), Digits().dataset("train")
    assert torch.equal(test[0].picture, test[0].picture)  # type: ignore[union-attr]
    assert any(not torch.equal(train[0].picture, train[0].picture) for _ in range(9))  # type: ignore[union-attr]
    plain = Digits(augment=False).dataset("train")
    assert torch.equal(plain[0].picture, plain[0].picture)  # type: ignore[union-attr]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("below", ["", "FashionMNIST/raw"])
def test_fashion_mnist(zipped: bool, below: str, tmp_path: Path) -> None:
    write_fashion_mnist(tmp_path / below, zipped=zipped)
    task = FashionMNIST(root=str(tmp_path))
    check_task(task, {"train": 50, "validation": 10, "test": 20}, (1, 28, 28))
    assert task.classes[9] == "Ankle boot"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "train-images-idx3-ubyte.gz").unlink(), "no such file, nor with .gz"),
        (lambda folder: (folder / "train-images-idx3-ubyte.gz").write_bytes(b"nonsense"), "a damaged file"),
        (
            lambda folder: (folder / "train-images-idx3-ubyte.gz").write_bytes(
                (folder / "train-images-idx3-ubyte.gz").read_bytes()[:500]
            ),
            "a damaged file",
        ),
        (lambda folder: write_idx(folder / "train-labels-idx1-ubyte", np.arange(9), zipped=True), "60 pictures and 9"),
        (
            lambda folder: write_idx(folder / "train-labels-idx1-ubyte", np.full(60, 11), zipped=True),
            "the largest 11",
        ),
    ],
)
def test_damaged_idx_files_are_named(spoil: Any, message: str, tmp_path: Path) -> None:
    write_fashion_mnist(tmp_path, zipped=True)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        FashionMNIST(root=str(tmp_path)).dataset("train")


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_cifar10(below: str, tmp_path: Path) -> None:
    write_cifar(tmp_path / below)
    task = CIFAR10(root=str(tmp_path))
    check_task(task, {"train": 90, "validation": 10, "test": 20}, (3, 32, 32))
    record = np.frombuffer((tmp_path / below / "test_batch.bin").read_bytes(), dtype=np.uint8)[:3073]
    sample = task.dataset("test")[0]
    assert sample is not None
    assert sample.label == record[0]
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in task.normalization)
    expected = (torch.tensor(record[1:].copy()).view(3, 32, 32) / 255 - mean) / std
    torch.testing.assert_close(sample.picture, expected)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "data_batch_3.bin").unlink(), "not the Python one"),
        (lambda folder: (folder / "data_batch_3.bin").write_bytes(b"\0" * 5000), "5000 bytes"),
        (lambda folder: (folder / "data_batch_3.bin").write_bytes(b""), "1 bytes|0 bytes"),
        (lambda folder: (folder / "data_batch_3.bin").write_bytes(b"\x63" * 3073), "the label 99"),
    ],
)
def test_damaged_cifar_batches_are_named(spoil: Any, message: str, tmp_path: Path) -> None:
    write_cifar(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message) as raised:
        CIFAR10(root=str(tmp_path)).dataset("train")
    assert raised.value.place.endswith("data_batch_3.bin")


def write_folders(write_picture: Any, root: Path, splits: dict[str, int], classes: tuple[str, ...]) -> None:
    for split, count in splits.items():
        for name in classes:
            for i in range(count):
                write_picture(root / split / name / f"{i}.JPEG")


def test_image_folder_with_its_own_splits(write_picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_folders(write_picture, tmp_path, {"train": 5, "val": 2, "test": 3}, ("cat", "dog"))
    task = ImageFolder(root=str(tmp_path), image_size=12)
    check_task(task, {"train": 10, "validation": 4, "test": 6}, (3, 12, 12))
    assert task.classes == ["cat", "dog"]


def test_image_folder_splits_where_there_are_no_folders(write_picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_folders(write_picture, tmp_path, {"train": 10}, ("cat", "dog"))
    task = ImageFolder(root=str(tmp_path), image_size=12, channels=1)
    check_task(task, {"train": 14, "validation": 2, "test": 4}, (1, 12, 12))
    sources = [set(map(str, task.dataset(split).sources)) for split in ("train", "validation", "test")]  # type: ignore[arg-type]
    assert len(set().union(*sources)) == 20


def test_bad_pictures_are_refused_or_skipped_by_name(write_picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_folders(write_picture, tmp_path, {"train": 2, "val": 1, "test": 1}, ("cat", "dog"))
    bad = tmp_path / "train/cat/0.JPEG"
    bad.write_bytes(bad.read_bytes()[:300])
    (tmp_path / "train/cat/notes.txt").write_text("no picture, and does not say that it is one")
    with pytest.raises(DataError, match="train/cat/0.JPEG"):
        list(ImageFolder(root=str(tmp_path), image_size=12).dataset("train"))  # type: ignore[call-overload]
    task = ImageFolder(root=str(tmp_path), image_size=12, on_bad_sample="skip")
    dataset = task.dataset("train")
    with pytest.warns(UserWarning, match="skipped a sample.*train/cat/0.JPEG"):
        batch = task.collate([dataset[i] for i in range(len(dataset))])
    assert batch.targets.tolist() == [0, 1, 1]
    with pytest.raises(DataError, match="2 pictures that cannot be read"):
        task.collate([None, None])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "no such folder"),
        (lambda root: (root / "train").mkdir(parents=True), "a folder for each class"),
        (lambda root: (root / "train/cat").mkdir(parents=True), "no picture"),
    ],
)
def test_a_wrong_folder_is_named(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        ImageFolder(root=str(tmp_path)).dataset("train")


def test_a_class_that_training_does_not_have_is_refused(write_picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_folders(write_picture, tmp_path, {"train": 1}, ("cat", "dog"))
    write_folders(write_picture, tmp_path, {"test": 1}, ("cat", "horse"))
    with pytest.raises(DataError, match=r"\['horse'\]"):
        ImageFolder(root=str(tmp_path)).dataset("test")


def test_imagenet(write_picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    wnids = tuple(f"n0144076{i}" for i in range(6))
    write_folders(write_picture, tmp_path, {"train": 4, "val": 2}, wnids)
    with pytest.raises(DataError, match="found 6 class folders; expected 1000"):
        ImageNet1k(root=str(tmp_path)).dataset("train")
    monkeypatch.setattr(ImageNet1k, "expected_classes", 6)
    index = {str(i): [wnid, f"name {i}"] for i, wnid in enumerate(wnids)}
    (tmp_path / "imagenet_class_index.json").write_text(json.dumps(index))
    task = ImageNet1k(root=str(tmp_path), image_size=16, validation=0.25)
    check_task(task, {"train": 18, "validation": 6, "test": 12}, (3, 16, 16))
    assert task.describe(torch.eye(6)[[2]] * 9)[0]["label"] == "name 2"
    assert set(task.metrics()) == {"accuracy", "top-5 accuracy"}


def test_a_users_picture_is_seen_as_the_data_sets(write_picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    task = Digits()
    batch = task.collate([task.read(write_picture(tmp_path / "mine.png", size=(40, 30)))])
    assert batch.inputs.shape == (1, 1, 8, 8)
    assert batch.targets is None
    with pytest.raises(DataError, match="no such file"):
        task.read(tmp_path / "none.png")


@pytest.mark.parametrize("task", [FashionMNIST, CIFAR10, ImageNet1k, ImageFolder])
def test_a_root_is_asked_for(task: type[Task]) -> None:
    with pytest.raises(ConfigError, match="root: found nothing"):
        task()
    with pytest.raises(DataError, match="no such folder"):
        task(root="/no/such/folder").dataset("train")
