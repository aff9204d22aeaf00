from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ShapeError
from itnet_pointcloud.points import Cloud, PointClouds, check_points, cloud_field


def test_a_batch_of_ragged_clouds_is_padded_with_weight_0(some_clouds: Any) -> None:
    clouds = some_clouds(3, 5, features=2)
    batch = PointClouds.of(clouds)
    assert batch.mask.sum(1).tolist() == [3, 5]
    torch.testing.assert_close(batch.weights.sum(1), torch.ones(2))
    for i, cloud in enumerate(clouds):
        assert torch.equal(batch.positions[i][batch.mask[i]], cloud.positions)
        assert torch.equal(batch.features[i][batch.mask[i]], cloud.features)


def test_what_stands_in_padding_is_never_looked_at(some_clouds: Any) -> None:
    batch = PointClouds.of(some_clouds(3, 5, features=2))
    spoilt = PointClouds(
        batch.positions.masked_fill(~batch.mask.unsqueeze(-1), torch.nan),
        batch.features.masked_fill(~batch.mask.unsqueeze(-1), torch.inf),
        batch.weights,
    )
    for checked, part in zip(check_points(spoilt, 2, "place"), batch, strict=True):
        assert torch.equal(checked, part)


def test_a_field_lies_on_x_y_and_z() -> None:
    positions = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    field = cloud_field(torch.ones(1, 2, 8), positions, torch.tensor([[1.0, 3.0]]))
    assert field.positions.tolist() == [[[0, 1, 2, 3], [0, 4, 5, 6]]]
    assert field.weights.tolist() == [[0.25, 0.75]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.positions, "found Tensor; expected PointClouds.*PointClouds.of"),
        (lambda p: p._replace(positions=p.positions[..., :2]), r"shape \(2, 4, 2\)"),
        (lambda p: p._replace(positions=p.positions.long()), "torch.int64"),
        (lambda p: p._replace(weights=p.weights[:, 1:]), r"shape \(2, 3\)"),
        (lambda p: p._replace(weights=-p.weights), "weights that are negative"),
        (lambda p: p._replace(weights=p.weights * torch.tensor([[1.0], [0.0]])), "no point in cloud 1"),
        (lambda p: p._replace(positions=p.positions / 0), "points that are NaN or infinite"),
        (lambda p: p._replace(features=torch.zeros(2, 4, 6)), "Configure the encoder with features=6"),
        (lambda p: PointClouds(p.positions[:, :0], p.features[:, :0], p.weights[:, :0]), r"shape \(2, 0\)"),
    ],
)
def test_what_is_no_batch_of_clouds_is_refused(spoil: Callable[[Path], Any], message: str, some_clouds: Any) -> None:
    batch = PointClouds.of(some_clouds(4, 4, features=3))
    with pytest.raises(ShapeError, match=f"(?s)place: .*{message}"):
        check_points(spoil(batch), 3, "place")  # type: ignore[arg-type]


def test_some_points_of_a_cloud() -> None:
    cloud = Cloud(torch.arange(12.0).view(4, 3), torch.arange(4.0).view(4, 1))
    assert cloud.select(torch.tensor([2, 0])).features.tolist() == [[2], [0]]
