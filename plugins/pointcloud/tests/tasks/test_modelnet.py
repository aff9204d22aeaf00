"""On fixtures in exactly the published layout: a folder a class, with folders train and test of OFF files."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import numpy as np
import pytest
import torch
from torch_geometric.datasets import ModelNet
from torch_geometric.io import read_off

from itnet_core import DataError
from itnet_pointcloud.tasks.modelnet import ModelNet10, ModelNet40
from itnet_testing import TaskConformance


def write_modelnet(root: Path, task: type[ModelNet40], *, train: int = 2, test: int = 1) -> None:
    for number, name in enumerate(task.classes):
        for split, count in (("train", train), ("test", test)):
            for i in range(count):
                path = root / name / split / f"{name}_{i + 1 + train * (split == 'test'):04}.off"
                path.parent.mkdir(parents=True, exist_ok=True)
                top = 1 + number + 0.1 * i
                corners = f"0 0 0\n1 0 0\n0 1 0\n0 0 {top}\n"
                path.write_text(f"OFF4 4 0\n{corners}3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n")


@pytest.mark.parametrize("below", ["raw", "ModelNet40", ""])
def test_modelnet40(below: str, tmp_path: Path) -> None:
    write_modelnet(tmp_path / below, ModelNet40)
    task = ModelNet40(root=str(tmp_path), points=16, pool=16, validation=0.5)
    assert [len(task.dataset(split)) for split in ("train", "validation", "test")] == [40, 40, 40]
    assert task.head == {"name": "itnet-core/classify", "classes": 40}
    assert task.dataset("test").labels == list(range(40))
    batch = task.collate([task.dataset("train")[i] for i in range(3)])
    assert batch.inputs.positions.shape == (3, 16, 3)


def test_splits_and_numbers_are_those_of_torch_geometric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader is run on the same files, up to where it would write pickled ones."""
    write_modelnet(tmp_path / "raw", ModelNet10)
    theirs = object.__new__(ModelNet)
    theirs.root, theirs.name, theirs.pre_filter, theirs.pre_transform = str(tmp_path), "10", None, None
    task = ModelNet10(root=str(tmp_path), augment=False)
    for split, ours in (("train", task.training()), ("test", task.test())):
        expected = sorted((int(data.y), data.pos[:, 2].max().item()) for data in theirs.process_set(split))
        tops = [read_off(str(path)).pos[:, 2].max().item() for path in ours.sources]
        assert sorted(zip(torch.as_tensor(ours.labels).tolist(), tops, strict=True)) == expected


def test_what_torch_geometric_processed_is_not_opened(tmp_path: Path) -> None:
    write_modelnet(tmp_path / "raw", ModelNet10)
    (tmp_path / "processed").mkdir()
    (tmp_path / "processed/training.pt").write_bytes(b"what would run if it were unpickled")
    assert len(ModelNet10(root=str(tmp_path)).dataset("test")) == 10


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no folder bathtub, nor in raw or ModelNet10; .* download: true"):
        ModelNet10(root=str(tmp_path)).dataset("train")
    write_modelnet(tmp_path, ModelNet10)
    shutil.rmtree(tmp_path / "sofa/test")
    with pytest.raises(DataError, match="sofa/test: found no mesh"):
        ModelNet10(root=str(tmp_path)).dataset("test")
    shutil.rmtree(tmp_path / "sofa")
    with pytest.raises(DataError, match="sofa: found no such folder"):
        ModelNet10(root=str(tmp_path)).dataset("train")


def test_forty_classes_are_not_taken_for_ten(tmp_path: Path) -> None:
    write_modelnet(tmp_path, ModelNet40, train=1)
    with pytest.raises(DataError, match="30 unknown class folders, the first airplane"):
        ModelNet10(root=str(tmp_path)).dataset("train")


def test_it_is_downloaded_where_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_modelnet(tmp_path / "archive/ModelNet10", ModelNet10)
    with zipfile.ZipFile(tmp_path / "ModelNet10.zip", "w") as archive:
        for path in (tmp_path / "archive").rglob("*.off"):
            archive.write(path, path.relative_to(tmp_path / "archive"))
    monkeypatch.setitem(ModelNet.urls, "10", (tmp_path / "ModelNet10.zip").as_uri())
    task = ModelNet10(root=str(tmp_path / "data"), download=True)
    assert len(task.dataset("test")) == 10
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["raw"]


def test_a_failed_download_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ModelNet.urls, "10", (tmp_path / "nowhere.zip").as_uri())
    with pytest.raises(DataError, match="a download that failed"):
        ModelNet10(root=str(tmp_path / "data"), download=True).dataset("test")


def test_evaluation_is_oriented_as_the_file_is(tmp_path: Path) -> None:
    write_modelnet(tmp_path, ModelNet10)
    cloud = ModelNet10(root=str(tmp_path), points=512, pool=512).dataset("test")[9].inputs  # type: ignore[union-attr]
    extent = cloud.positions.amax(0) - cloud.positions.amin(0)
    assert np.argmax(extent.numpy()) == 2  # the last one is 10 high


class ModelNetConformance(TaskConformance):
    encoder = "itnet-pointcloud/point"

    @pytest.fixture(autouse=True)
    def _files(self, write_mesh: Any) -> None:
        self.write_mesh = write_mesh

    def prepare(self, folder: Path) -> dict[str, Any]:
        write_modelnet(folder, self.cls)
        return {"root": str(folder), "points": 16, "pool": 16}

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [
            numpy.random.rand(50, 3),
            torch.rand(40, 6),
            {"points": [[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], "normals": torch.rand(3, 3)},
        ]

    def user_file(self, folder: Path) -> Path:
        path: Path = self.write_mesh(folder / "sofa.off")
        return path


class TestModelNet10(ModelNetConformance):
    component = "itnet-pointcloud/modelnet10"


class TestModelNet40(ModelNetConformance):
    component = "itnet-pointcloud/modelnet40"


@pytest.mark.slow
def test_the_configuration_for_the_paper_fits_the_published_layout(tmp_path: Path, dry_run: Any) -> None:
    write_modelnet(tmp_path, ModelNet40)
    assert dry_run("modelnet40", f"model.task.root={tmp_path}", "model.preset=itnet-tiny")["test"] == 40
