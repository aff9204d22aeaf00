"""On a fixture in exactly the published layout: a thousand folders named by wnid, with a train and a val."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from itnet_core import ConfigError, DataError
from itnet_image.tasks.imagenet import ImageNet1k
from itnet_testing import TaskConformance

WNIDS = [f"n{1440764 + 7919 * i:08d}" for i in range(1000)]


@pytest.fixture
def root(write_image: Callable[..., Path], tmp_path: Path) -> Path:
    jpeg = write_image(tmp_path / "one.JPEG").read_bytes()
    for i, wnid in enumerate(WNIDS):
        for split, names in (("train", (f"{wnid}_{i}", f"{wnid}_{i + 1}")), ("val", (f"ILSVRC2012_val_{i + 1:08d}",))):
            folder = tmp_path / split / wnid
            folder.mkdir(parents=True)
            for name in names:
                (folder / f"{name}.JPEG").write_bytes(jpeg)
    return tmp_path


def test_imagenet(root: Path, check_task: Any) -> None:
    task = ImageNet1k(root=str(root), image_size=16)
    check_task(task, {"train": 1000, "validation": 1000, "test": 1000}, (3, 16, 16))
    assert set(task.metrics()) == {"accuracy", "top5_accuracy"}
    assert {path.parent.parent.name for path in task.dataset("validation").sources} == {"train"}
    assert {path.parent.parent.name for path in task.dataset("test").sources} == {"val"}
    assert task.dataset("test").labels == list(range(1000))


def test_a_missing_wnid_would_renumber_the_classes_and_is_refused(root: Path) -> None:
    (root / "train" / WNIDS[3]).rename(root / "elsewhere")
    with pytest.raises(DataError, match="found 999 class folders; expected 1000.*image-folder"):
        ImageNet1k(root=str(root)).dataset("train")


def test_val_alone_is_enough_for_evaluation(root: Path) -> None:
    (root / "train").rename(root / "elsewhere")
    assert len(ImageNet1k(root=str(root)).dataset("test")) == 1000
    with pytest.raises(DataError, match="train: found no such folder"):
        ImageNet1k(root=str(root)).dataset("train")


def test_head_and_names_need_no_data() -> None:
    task = ImageNet1k(root="/no/such/folder")
    assert task.head == {"name": "itnet-core/classify", "classes": 1000}
    logits = torch.zeros(1, 1000)
    logits[0, 1] = 9
    assert task.describe(logits)[0]["label"] == "goldfish"
    with pytest.raises(DataError, match="no such folder"):
        task.dataset("test")


def test_top5_counts_the_five_likeliest() -> None:
    top5 = ImageNet1k(root="anywhere").metrics()["top5_accuracy"]
    logits = torch.arange(1000.0).expand(3, -1)
    top5.update(logits, torch.tensor([999, 995, 994]))
    assert top5.compute() == pytest.approx(2 / 3)


def test_a_root_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="ImageNet1k.root: found nothing"):
        ImageNet1k()


class TestConformance(TaskConformance):
    component = "itnet-image/imagenet-1k"
    images: Sequence[Any]
    encoder: ClassVar = {"name": "itnet-image/patch", "patch_size": 4}

    @pytest.fixture(autouse=True)
    def _files(self, root: Path, write_image: Callable[..., Path]) -> None:
        self.written: Mapping[str, Any] = {"root": str(root), "image_size": 16}
        self.write_image = write_image

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return self.images

    def user_file(self, folder: Path) -> Path:
        return self.write_image(folder / "photograph.jpg")


@pytest.mark.slow
def test_the_configuration_for_the_paper_fits_the_published_layout(root: Path, dry_run: Any) -> None:
    sizes = dry_run("imagenet", f"model.task.root={root}", "model.preset=itnet-pyramid-tiny")
    assert sizes == {"train": 1000, "validation": 1000, "test": 1000}
