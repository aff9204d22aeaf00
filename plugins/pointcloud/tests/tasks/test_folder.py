from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from itnet_core import ConfigError, DataError
from itnet_pointcloud.tasks.folder import MeshFolder
from itnet_tasks import SkippedSampleWarning
from itnet_testing import TaskConformance


def test_its_own_splits(write_folders: Callable[..., None], tmp_path: Path) -> None:
    write_folders(tmp_path, {"train": 3, "val": 1, "test": 2})
    task = MeshFolder(root=str(tmp_path))
    assert task.classes == ("ball", "box")
    assert [len(task.dataset(split)) for split in ("train", "validation", "test")] == [6, 2, 4]


def test_the_folds_of_undivided_folders_are_each_the_test_split_in_turn(
    write_folders: Callable[..., None], tmp_path: Path
) -> None:
    write_folders(tmp_path, {".": 5})
    folds = [MeshFolder(root=str(tmp_path), test_fold=fold).dataset("test") for fold in range(5)]
    assert [fold.labels for fold in folds] == [[0, 1]] * 5
    assert len({str(path) for fold in folds for path in fold.sources}) == 10
    with pytest.raises(ConfigError, match="test_fold: found 5"):
        MeshFolder(root=str(tmp_path), test_fold=5).dataset("test")


def test_every_format_is_a_mesh_and_others_are_counted(write_mesh: Any, tmp_path: Path) -> None:
    for suffix in ("off", "OBJ", "ply", "stl"):
        write_mesh(tmp_path / "box" / f"{suffix}.{suffix.lower()}")
    (tmp_path / "box/material.mtl").write_text("newmtl red")
    with pytest.warns(SkippedSampleWarning, match=r"1 of 5 files left out because of their suffix: .*material.mtl"):
        dataset = MeshFolder(root=str(tmp_path), test_folds=4, points=16, pool=16).dataset("test")
    assert dataset[0].inputs.positions.shape == (16, 3)  # type: ignore[union-attr]


def test_a_folder_without_meshes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    with pytest.raises(DataError, match="box: found no sample file; expected files ending in .obj, .off"):
        MeshFolder(root=str(tmp_path)).dataset("train")


class TestConformance(TaskConformance):
    component = "itnet-pointcloud/mesh-folder"
    encoder = "itnet-pointcloud/point"

    @pytest.fixture(autouse=True)
    def _files(self, write_folders: Callable[..., None], write_mesh: Any, tmp_path: Path) -> None:
        write_folders(tmp_path, {"train": 3, "val": 1, "test": 2})
        self.written: Mapping[str, Any] = {"root": str(tmp_path), "points": 16, "pool": 16}
        self.write_mesh = write_mesh

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [
            numpy.random.rand(50, 3),
            torch.rand(40, 6),
            {"points": [[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], "normals": torch.rand(3, 3)},
        ]

    def user_file(self, folder: Path) -> Path:
        path: Path = self.write_mesh(folder / "box.stl")
        return path
