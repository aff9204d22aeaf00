from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import DataError, ShapeError
from itnet_pointcloud.data.shapenet import IDENTIFIERS
from itnet_pointcloud.encoders.point import PointEncoder
from itnet_pointcloud.tasks.chosen_parts import PADDING
from itnet_pointcloud.tasks.segmentation import PartSegmentation
from itnet_registry import create_model
from itnet_tasks import SkippedSampleWarning
from itnet_testing import TaskConformance


@pytest.fixture
def root(write_shapenet: Any, tmp_path: Path) -> Path:
    path: Path = write_shapenet(tmp_path)
    return path


def test_shapes_of_any_size_make_one_batch(root: Path) -> None:
    task = PartSegmentation(root=str(root))
    assert [len(task.dataset(split)) for split in ("train", "validation", "test")] == [16, 16, 16]
    batch = task.collate([task.dataset("test")[i] for i in range(4)])
    assert batch.inputs.positions.shape == (4, 11, 3)
    assert batch.inputs.features.shape == (4, 11, 3 + 16)
    assert batch.inputs.mask.sum(1).tolist() == [8, 9, 10, 11]
    assert torch.equal(batch.targets != PADDING, batch.inputs.mask)
    assert batch.inputs.features[3, :, 3:].argmax(1).tolist() == [3] * 11  # the category


def test_training_takes_other_points_with_their_parts(root: Path) -> None:
    task = PartSegmentation(root=str(root), points=5, augment=False, category=False)
    whole = PartSegmentation(root=str(root), augment=False, category=False).dataset("train")[2].inputs  # type: ignore[union-attr]
    of_normal = {tuple(n): p for n, p in zip(whole.cloud.features.tolist(), whole.parts.tolist(), strict=True)}
    draws = [task.dataset("train")[2].inputs for _ in range(5)]  # type: ignore[union-attr]
    for cloud, parts in draws:
        assert [of_normal[tuple(normal)] for normal in cloud.features.tolist()] == parts.tolist()
    assert len({tuple(parts.tolist()) for _, parts in draws}) > 1
    assert len(task.dataset("test")[2].inputs.parts) == 10  # type: ignore[union-attr]


@pytest.mark.parametrize(("normals", "category", "features"), [(True, True, 19), (False, True, 16), (False, False, 0)])
def test_a_model_of_it_sees_padding_nowhere(normals: bool, category: bool, features: int, root: Path) -> None:
    options = {"root": str(root), "normals": normals, "category": category}
    task = PartSegmentation(**options)  # type: ignore[arg-type]
    model = create_model("itnet-nano", encoder="point", task={"name": "part-segmentation", **options}).eval()
    assert isinstance(model.encoders["point-cloud"], PointEncoder)
    assert task.encoder_options == {"features": features}
    shapes = [task.dataset("test")[i] for i in range(4)]
    together, alone = task.collate(shapes), task.collate(shapes[:1])
    with torch.no_grad():
        predicted = model(together.inputs)
        torch.testing.assert_close(predicted[:1, :8], model(alone.inputs), rtol=1e-4, atol=1e-5)
    spoilt = predicted.masked_fill((together.targets == PADDING).unsqueeze(-1), 1e6)
    assert torch.equal(task.loss(predicted, together.targets), task.loss(spoilt, together.targets))


def test_a_sure_prediction_is_rewarded_and_described(root: Path) -> None:
    task = PartSegmentation(root=str(root))
    batch = task.collate([task.dataset("test")[i] for i in range(16)])
    sure = 50 * torch.nn.functional.one_hot(batch.targets.clamp(min=0), 50).float()
    assert task.loss(sure, batch.targets) < 1e-3 < task.loss(-sure, batch.targets)
    for metric in task.metrics().values():
        metric.update(sure, batch.targets)
        assert metric.compute() == 1
    assert task.monitor in task.metrics()
    record = task.describe(sure[4:5, :8])[0]
    assert record == {"category": "Chair", "parts": batch.targets[4, :8].tolist()}
    json.dumps(record)


def test_predictions_elsewhere_are_refused(root: Path) -> None:
    task = PartSegmentation(root=str(root))
    with pytest.raises(ShapeError, match="Use the encoder 'point'"):
        task.loss(torch.zeros(2, 7, 50), torch.zeros(2, 11, dtype=torch.int64))


def test_a_users_file_needs_no_parts_but_its_category(root: Path) -> None:
    table = (root / IDENTIFIERS[4] / "test1a04.txt").read_text().splitlines()
    bare = "\n".join(line.rsplit(" ", 1)[0] for line in table)
    for folder in (root / "mine", root / IDENTIFIERS[4]):
        folder.mkdir(exist_ok=True)
        (folder / "mine.txt").write_text(bare)
    task = PartSegmentation(root=str(root))
    batch = task.collate([task.read(root / IDENTIFIERS[4] / "mine.txt")])
    known = task.collate([task.dataset("test")[4]])
    assert torch.equal(batch.inputs.positions, known.inputs.positions)
    assert batch.targets is None
    with pytest.raises(DataError, match=r"mine.txt: found a folder 'mine'; expected one of 02691156.*category: false"):
        task.read(root / "mine/mine.txt")
    PartSegmentation(root=str(root), category=False).read(root / "mine/mine.txt")


def test_a_shape_without_parts_is_a_bad_sample(root: Path) -> None:
    (root / IDENTIFIERS[0] / "train1a04.txt").write_text("0 0 0 0 0 1\n")
    with pytest.raises(DataError, match=r"train1a04.txt: found numbers of shape \(1, 6\)"):
        PartSegmentation(root=str(root)).dataset("train")[0]
    task = PartSegmentation(root=str(root), on_bad_sample="skip")
    dataset = task.dataset("train")
    with pytest.warns(SkippedSampleWarning, match="1 of 16 samples skipped"):
        assert len(task.collate([dataset[0], dataset[1]]).targets) == 1


class TestConformance(TaskConformance):
    component = "itnet-pointcloud/part-segmentation"
    encoder = "itnet-pointcloud/point"

    @pytest.fixture(autouse=True)
    def _files(self, root: Path) -> None:
        self.written: Mapping[str, Any] = {"root": str(root)}

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [{"points": torch.rand(30, 3), "normals": torch.rand(30, 3), "category": "Chair"}]

    def user_file(self, folder: Path) -> Path:
        (folder / IDENTIFIERS[4]).mkdir()
        (folder / IDENTIFIERS[4] / "chair.txt").write_text("0 0 0 0 0 1\n1 0 0 0 1 0\n0 1 0 1 0 0\n")
        path: Path = folder / IDENTIFIERS[4] / "chair.txt"
        return path
