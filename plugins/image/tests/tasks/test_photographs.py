from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import DataError
from itnet_image.tasks.folder import ImageFolder
from itnet_tasks import SkippedSampleWarning


def folder_task(root: Path, **options: Any) -> ImageFolder:
    return ImageFolder(root=str(root), **{"image_size": 12, **options})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:300]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no image"),
    ],
    ids=["truncated", "empty", "no image"],
)
def test_bad_images_are_refused_or_skipped_by_name(
    spoil: Callable[[Path], Any], write_folders: Callable[..., None], tmp_path: Path
) -> None:
    write_folders(tmp_path, {"train": 2, "val": 1, "test": 1})
    spoil(tmp_path / "train/cat/0.JPEG")
    refusing = folder_task(tmp_path).dataset("train")
    with pytest.raises(DataError, match="train/cat/0.JPEG: found"):
        refusing[0]
    task = folder_task(tmp_path, on_bad_sample="skip")
    dataset = task.dataset("train")
    with pytest.warns(SkippedSampleWarning, match="1 of 4 samples skipped so far. .*train/cat/0.JPEG"):
        batch = task.collate([dataset[i] for i in range(len(dataset))])
    assert batch.targets.tolist() == [0, 1, 1]


def test_files_without_an_images_suffix_are_left_out_and_counted(
    write_folders: Callable[..., None], tmp_path: Path
) -> None:
    write_folders(tmp_path, {"train": 2, "val": 1, "test": 1})
    (tmp_path / "train/cat/notes.txt").write_text("no image, and does not say that it is one")
    (tmp_path / "train/dog/0.JPEG").rename(tmp_path / "train/dog/0.dat")
    (tmp_path / "train/dog/.hidden").write_text("")
    with pytest.warns(SkippedSampleWarning, match=r"2 of 5 files left out because .*notes.txt and others"):
        assert folder_task(tmp_path).dataset("train").labels == [0, 0, 1]


def test_images_of_every_kind_make_one_batch(write_image: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("train", "val", "test"):
        for i, mode in enumerate(("L", "RGBA", "P", "I;16", "LA", "1", "RGB")):
            write_image(tmp_path / name / "some" / f"{i}.png", size=(30 + i, 20), mode=mode)
        write_image(tmp_path / name / "some" / "cmyk.jpg", mode="CMYK")
    task = folder_task(tmp_path)
    dataset = task.dataset("test")
    batch = task.collate([dataset[i] for i in range(len(dataset))])
    assert batch.inputs.shape == (8, 3, 12, 12)


@pytest.mark.parametrize("channels", [1, 3])
def test_crops_and_rand_augment_are_configured(
    channels: int, write_folders: Callable[..., None], tmp_path: Path
) -> None:
    write_folders(tmp_path, {"train": 1, "val": 1, "test": 1})

    def images(**options: Any) -> torch.Tensor:
        dataset = folder_task(tmp_path, channels=channels, flip=0, **options).dataset("train")
        return torch.stack([dataset[0].inputs for _ in range(8)])  # type: ignore[union-attr]

    plain = images(augment=False)
    assert (plain == plain[0]).all()
    assert len(images().flatten(1).unique(dim=0)) > 4  # type: ignore[no-untyped-call]
    torch.manual_seed(0)
    without = images()
    torch.manual_seed(0)
    assert not torch.equal(images(rand_augment=2)[0], without[0])  # the first crop is the same


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "found no folder"),
        (lambda root: (root / "train").mkdir(parents=True), "one folder per class"),
        (lambda root: (root / "train/cat").mkdir(parents=True), "cat: found no sample file"),
    ],
)
def test_a_wrong_folder_is_named(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        folder_task(tmp_path).dataset("train")


def test_a_class_that_training_does_not_have_is_refused(write_folders: Callable[..., None], tmp_path: Path) -> None:
    write_folders(tmp_path, {"train": 1})
    write_folders(tmp_path, {"test": 1}, ("cat", "horse"))
    with pytest.raises(DataError, match="test: found 1 unknown class folders, the first horse"):
        folder_task(tmp_path).dataset("test")


def test_a_split_with_fewer_classes_keeps_the_classes_numbers(
    write_folders: Callable[..., None], tmp_path: Path
) -> None:
    write_folders(tmp_path, {"train": 2, "val": 1}, ("cat", "dog", "eel"))
    write_folders(tmp_path, {"test": 2}, ("eel",))
    assert folder_task(tmp_path).dataset("test").labels == [2, 2]
