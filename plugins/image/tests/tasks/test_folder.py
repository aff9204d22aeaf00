from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from itnet_core import ConfigError, DataError
from itnet_image.tasks.folder import ImageFolder
from itnet_registry import create_model, load_model, save_model
from itnet_testing import TaskConformance


def test_its_own_splits(write_folders: Callable[..., None], check_task: Any, tmp_path: Path) -> None:
    write_folders(tmp_path, {"train": 5, "val": 2, "test": 3})
    task = ImageFolder(root=str(tmp_path), image_size=12)
    check_task(task, {"train": 10, "validation": 4, "test": 6}, (3, 12, 12))
    assert task.classes == ("cat", "dog")


def test_splits_where_there_are_no_folders(write_folders: Callable[..., None], check_task: Any, tmp_path: Path) -> None:
    write_folders(tmp_path, {"train": 10})
    task = ImageFolder(root=str(tmp_path), image_size=12, channels=1)
    check_task(task, {"train": 14, "validation": 2, "test": 4}, (1, 12, 12))
    sources = [set(map(str, task.dataset(split).sources)) for split in ("train", "validation", "test")]
    assert len(set().union(*sources)) == 20
    again = ImageFolder(root=str(tmp_path), seed=3, validation=0.3).dataset("test")
    assert set(map(str, again.sources)) == sources[2]


def test_class_folders_in_the_root_itself(write_folders: Callable[..., None], check_task: Any, tmp_path: Path) -> None:
    write_folders(tmp_path, {".": 10})
    task = ImageFolder(root=str(tmp_path), image_size=12, test_folds=2)
    check_task(task, {"train": 8, "validation": 2, "test": 10}, (3, 12, 12))


def test_a_configuration_keeps_the_classes_where_the_data_are_not(
    write_folders: Callable[..., None], tmp_path: Path
) -> None:
    write_folders(tmp_path, {"train": 1, "test": 1})
    config = ImageFolder(root=str(tmp_path)).config.model_dump(mode="json")
    shutil.rmtree(tmp_path / "train")
    task = ImageFolder(**config)
    assert task.head == {"name": "itnet-core/classify", "classes": 2}
    assert task.describe(torch.tensor([[0.0, 1.0]]))[0]["label"] == "dog"


def test_the_order_of_classes_may_be_given(write_folders: Callable[..., None], tmp_path: Path) -> None:
    write_folders(tmp_path, {"train": 1, "val": 1, "test": 1})
    task = ImageFolder(root=str(tmp_path), classes=["dog", "cat"])
    assert [Path(path).parent.name for path in task.dataset("test").sources] == ["dog", "cat"]
    assert task.dataset("test").labels == [0, 1]
    with pytest.raises(DataError, match="unknown class folders, the first dog"):
        ImageFolder(root=str(tmp_path), classes=["cat"]).dataset("train")


def test_a_model_of_classes_whose_names_are_not_utf8_is_saved(tmp_path: Path) -> None:
    task = {"name": "image-folder", "root": "there", "classes": ["caf\udce9", "dog"]}
    model = create_model("itnet-nano", width=16, depth=1, encoder={"name": "patch", "patch_size": 8}, task=task)
    save_model(model, tmp_path / "saved")
    assert load_model(tmp_path / "saved").config == model.config


def test_without_data_and_classes_the_head_cannot_be_known(tmp_path: Path) -> None:
    task = ImageFolder(root=str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="nowhere: found no such folder"):
        _ = task.head


def test_a_root_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="ImageFolder.root: found nothing"):
        ImageFolder()


class TestConformance(TaskConformance):
    component = "itnet-image/image-folder"
    images: Sequence[Any]
    encoder: ClassVar = {"name": "itnet-image/patch", "patch_size": 4}

    @pytest.fixture(autouse=True)
    def _files(self, write_folders: Callable[..., None], write_image: Callable[..., Path], tmp_path: Path) -> None:
        write_folders(tmp_path, {"train": 5, "val": 2, "test": 3})
        self.written: Mapping[str, Any] = {"root": str(tmp_path), "image_size": 12}
        self.write_image = write_image

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return self.images

    def user_file(self, folder: Path) -> Path:
        return self.write_image(folder / "cat.png")
