"""Darcy flow and Burgers' equation, on small files in the published layout; the antiderivative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from itnet_core import DataError
from itnet_operators.tasks.antiderivative import Antiderivative
from itnet_operators.tasks.burgers import Burgers
from itnet_operators.tasks.darcy import Darcy
from itnet_operators.tasks.operator_learning import OperatorLearning
from itnet_testing import TaskConformance


def whole(task: OperatorLearning, split: Any) -> Any:
    dataset: Any = task.dataset(split)
    return task.collate([dataset[number] for number in range(len(dataset))])


def write_user_file(path: Path, coordinates: int) -> Path:
    random = np.random.default_rng(0)
    np.savez(path, inputs=random.normal(size=9), positions=random.uniform(-1, 1, (9, coordinates)))
    return path


def test_darcys_splits_are_the_files_and_the_end_of_the_training_file(darcy: Path) -> None:
    task = Darcy(root=str(darcy))
    numbers = torch.load(darcy / "darcy_train_16.pt", weights_only=True)["y"].flatten(1)
    for split, part in (("train", slice(10)), ("validation", slice(10, None))):
        torch.testing.assert_close(whole(task, split).targets.values[..., 0] * task.scale[0], numbers[part])
    field = whole(Darcy(root=str(darcy), resolution=32), "test").inputs
    assert field.grid == (32, 32)
    assert set(field.values.unique().tolist()) == {-1.0, 1.0}


def test_rows_of_darcys_file_lie_along_y(darcy: Path) -> None:
    field = whole(Darcy(root=str(darcy)), "test").inputs
    x, y = field.positions[0, :, 1].view(16, 16), field.positions[0, :, 2].view(16, 16)
    assert (x.diff(dim=1) > 0).all()
    assert (y.diff(dim=0) > 0).all()


def test_the_scale_is_that_of_the_training_split_and_is_kept(darcy: Path) -> None:
    task = Darcy(root=str(darcy))
    training = torch.load(darcy / "darcy_train_16.pt", weights_only=True)["y"][:10]
    assert task.config.scale == pytest.approx([float(training.std(correction=0))], rel=1e-5)
    (darcy / "darcy_train_16.pt").unlink()
    again = Darcy(task.config)
    assert again.collate([again.dataset("test")[0]]).targets.values.isfinite().all()
    without = Darcy(root=str(darcy))  # a configuration may be written before the data exist
    assert without.config.scale is None
    with pytest.raises(DataError, match="darcy_train_16.pt: found no such file"):
        without.describe(torch.zeros(1, 4, 1))


def test_coordinates_are_further_channels(darcy: Path) -> None:
    task = Darcy(root=str(darcy), coordinates=True)
    field = whole(task, "test").inputs
    assert task.encoder_options["channels"] == field.dim == 3
    torch.testing.assert_close(field.values[..., 1:], field.positions[..., [2, 1]])


def test_a_model_predicts_in_the_datas_unit() -> None:
    task = Antiderivative(samples=10, points=5, scale=[3.0])
    [record] = task.describe(torch.tensor([[[1.0], [2.0], [0.0], [-1.0], [0.5]]]))
    values = [[3.0], [6.0], [0.0], [-3.0], [1.5]]
    assert record == {"minimum": [-3.0], "maximum": [6.0], "mean": [1.5], "values": values}


def test_burgers_functions_are_the_same_at_every_resolution(burgers: Path) -> None:
    batches = {
        size: whole(Burgers(root=str(burgers), resolution=size, scale=[1.0]), "test") for size in (4, 16, 32, 64)
    }
    for coarse, fine in pairwise(batches):
        few, many, stride = batches[coarse], batches[fine], fine // coarse
        torch.testing.assert_close(few.inputs.values, many.inputs.values[:, ::stride])
        torch.testing.assert_close(few.inputs.positions, many.inputs.positions[:, ::stride])
        if coarse != 16:  # the solutions in this file are not those of the equation
            torch.testing.assert_close(few.targets.values, many.targets.values[:, ::stride])
    assert len(batches[16].inputs.values) == 200


@pytest.mark.parametrize("irregular", [False, True])
def test_antiderivatives_are_the_same_functions_at_every_resolution(irregular: bool) -> None:
    """By their norms, as the points differ; and a function's target is its integral."""
    norms = []
    for points in (400, 1000):
        task = Antiderivative(samples=10, test_samples=5, points=points, irregular=irregular, scale=[1.0])
        batch = whole(task, "test")
        norms.append((batch.targets.weights * batch.targets.values.square()).sum(1))
        u, weights = batch.inputs.values[..., 0], batch.inputs.weights
        sums = (weights * u).cumsum(1) - weights * u / 2
        torch.testing.assert_close(sums, batch.targets.values[..., 0], rtol=0, atol=0.03)
    torch.testing.assert_close(norms[0], norms[1], rtol=0.02, atol=0)


def test_training_and_test_functions_differ_and_follow_from_the_seed() -> None:
    def values(split: Any, **options: Any) -> torch.Tensor:
        field: torch.Tensor = whole(Antiderivative(samples=10, test_samples=9, **options), split).inputs.values
        return field

    assert torch.equal(values("test"), values("test", seed=3, validation=0.5))
    assert not torch.equal(values("test"), values("test", function_seed=1))
    training = torch.cat([values("train"), values("validation")])
    assert torch.cdist(training.flatten(1), values("test").flatten(1)).min() > 0.1


class TestDarcyConformance(TaskConformance):
    component = "itnet-operators/darcy"
    encoder = "itnet-core/field"

    @pytest.fixture(autouse=True)
    def _files(self, darcy: Path) -> None:
        self.written: Mapping[str, Any] = {"root": str(darcy)}

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [torch.rand(6, 5), torch.rand(6, 5, 1), {"inputs": [[1], [0]], "positions": [[0, 0], [1, 1]]}]

    def user_file(self, folder: Path) -> Path:
        return write_user_file(folder / "mine.npz", 2)


class TestBurgersConformance(TaskConformance):
    component = "itnet-operators/burgers"
    encoder = "itnet-operators/periodic-field"

    @pytest.fixture(autouse=True)
    def _files(self, burgers: Path) -> None:
        self.written: Mapping[str, Any] = {"root": str(burgers), "resolution": 8}

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [torch.rand(6), torch.rand(6, 1)]

    def user_file(self, folder: Path) -> Path:
        return write_user_file(folder / "mine.npz", 1)


class TestAntiderivativeConformance(TaskConformance):
    component = "itnet-operators/antiderivative"
    encoder = "itnet-core/field"
    options = {"samples": 10, "test_samples": 3, "points": 8, "irregular": True}  # noqa: RUF012

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [torch.rand(6), [[0.0], [1.0]]]

    def user_file(self, folder: Path) -> Path:
        return write_user_file(folder / "mine.npz", 1)
