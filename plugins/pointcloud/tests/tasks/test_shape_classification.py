from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError, DataError
from itnet_pointcloud.tasks.folder import MeshFolder
from itnet_tasks import SkippedSampleWarning


def folder_task(root: Path, **options: Any) -> MeshFolder:
    return MeshFolder(root=str(root), **{"points": 32, "pool": 64, **options})


@pytest.fixture
def root(write_folders: Callable[..., None], tmp_path: Path) -> Path:
    write_folders(tmp_path, {"train": 3, "val": 1, "test": 1})
    return tmp_path


def test_evaluation_sees_the_same_points_each_time_and_training_others(root: Path) -> None:
    task = folder_task(root, augment=False)
    test, train = task.dataset("test"), task.dataset("train")
    assert torch.equal(test[0].inputs.positions, test[0].inputs.positions)  # type: ignore[union-attr]
    assert torch.equal(test[0].inputs.positions, folder_task(root).dataset("test")[0].inputs.positions)  # type: ignore[union-attr]
    assert not torch.equal(train[0].inputs.positions, train[0].inputs.positions)  # type: ignore[union-attr]


def test_more_points_for_evaluation_are_the_same_and_more(root: Path) -> None:
    few, many = (folder_task(root, evaluation_points=n).dataset("test")[0].inputs.positions for n in (32, 64))  # type: ignore[union-attr]
    assert many.shape == (64, 3)
    edges = [points[1:9] - points[:8] for points in (few, many)]
    ratio = edges[0].norm(dim=1) / edges[1].norm(dim=1)  # in a unit sphere each
    torch.testing.assert_close(ratio, ratio[0].expand(8))


def test_only_training_is_augmented(root: Path) -> None:
    strong = {"rotation": "any", "stretch": 2.0, "jitter": 0.1}
    plain, changed = folder_task(root, augment=False), folder_task(root, **strong)
    assert torch.equal(plain.dataset("test")[0].inputs.positions, changed.dataset("test")[0].inputs.positions)  # type: ignore[union-attr]
    turned = changed.dataset("train")[0].inputs.positions  # type: ignore[union-attr]
    assert turned.norm(dim=1).max() != pytest.approx(1, abs=1e-3)


def test_evaluation_turns_each_mesh_in_a_fixed_way(root: Path) -> None:
    plain, turned, vertical = (
        folder_task(root, evaluation_rotation=rotation, normals=True).dataset("test")[0].inputs  # type: ignore[union-attr]
        for rotation in ("none", "any", "vertical")
    )
    again = folder_task(root, evaluation_rotation="any", normals=True).dataset("test")[0].inputs  # type: ignore[union-attr]
    assert torch.equal(turned.positions, again.positions)
    assert not torch.allclose(turned.positions, plain.positions, atol=0.05)
    torch.testing.assert_close(vertical.positions[:, 2], plain.positions[:, 2])
    for cloud in (turned, vertical):
        gram, expected = (points @ points.T for points in (cloud.positions, plain.positions))
        torch.testing.assert_close(gram, expected, rtol=1e-4, atol=1e-5)
        inner = (cloud.positions * cloud.features).sum(-1)
        torch.testing.assert_close(inner, (plain.positions * plain.features).sum(-1), rtol=1e-4, atol=1e-5)


def test_a_mesh_is_read_once(root: Path) -> None:
    dataset = folder_task(root).dataset("train")
    first = dataset[0]
    dataset.sources[0].unlink()  # type: ignore[union-attr]
    assert dataset[0].inputs.positions.shape == first.inputs.positions.shape  # type: ignore[union-attr]


def test_normals_are_features_if_asked_for(root: Path) -> None:
    task = folder_task(root, normals=True)
    batch = task.collate([task.dataset("train")[i] for i in range(2)])
    assert task.encoder_options == {"features": 3}
    assert batch.inputs.features.shape == (2, 32, 3)
    torch.testing.assert_close(batch.inputs.features.norm(dim=-1), torch.ones(2, 32))
    assert folder_task(root).encoder_options == {"features": 0}


def test_metrics_and_descriptions(root: Path) -> None:
    """Of three balls right and one box wrong: 3/4 overall, the mean of 1 and 0 over classes."""
    task = folder_task(root)
    logits, targets = torch.tensor([[5.0, 0.0]]).expand(4, 2), torch.tensor([0, 0, 0, 1])
    values = {}
    for name, metric in task.metrics().items():
        metric.update(logits, targets)
        values[name] = metric.compute().item()
    assert values == {"accuracy": pytest.approx(0.75), "mean_class_accuracy": pytest.approx(0.5)}
    record = task.describe(logits)[0]
    assert record["label"] == "ball"
    json.dumps(record)


@pytest.mark.parametrize("contents", [b"", b"OFF\n3 1 0\n0 0 0\n", b"OFF\n3 1 0\n0 0 0\n0 nan 0\n1 0 0\n3 0 1 2\n"])
def test_bad_meshes_are_refused_or_skipped_by_name(contents: bytes, root: Path) -> None:
    (root / "train/ball/0.off").write_bytes(contents)
    with pytest.raises(DataError, match="ball/0.off: found .* on_bad_sample: skip"):
        folder_task(root).dataset("train")[0]
    task = folder_task(root, on_bad_sample="skip")
    dataset = task.dataset("train")
    with pytest.warns(SkippedSampleWarning, match="1 of 6 samples skipped so far. .*ball/0.off"):
        batch = task.collate([dataset[i] for i in range(len(dataset))])
    assert batch.targets.tolist() == [0, 0, 1, 1, 1]


def test_a_users_file_is_read_as_the_test_split_is(root: Path) -> None:
    task = folder_task(root)
    sample = task.read(root / "test/ball/0.off")
    assert torch.equal(sample.inputs.positions, task.dataset("test")[0].inputs.positions)  # type: ignore[union-attr]
    assert task.collate([sample]).targets is None
    with pytest.raises(DataError, match="nowhere.obj: found no such file"):
        task.read(root / "nowhere.obj")


@pytest.mark.parametrize("options", [{"points": 100}, {"evaluation_points": 65}])
def test_a_pool_smaller_than_a_cloud_is_refused(options: dict[str, int], root: Path) -> None:
    with pytest.raises(ConfigError, match="expected pool = 64 to be at least [0-9]+, the points of a cloud"):
        folder_task(root, **options)
