"""What holds for both encoders."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from itnet_core import Encoder, ShapeError, mean
from itnet_pointcloud.encoders.local_group import LocalGroupEncoder
from itnet_pointcloud.encoders.point import PointEncoder
from itnet_pointcloud.points import Cloud, PointClouds


@pytest.fixture(params=["point", "share", "mean"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    if request.param == "point":
        return PointEncoder(8, features=2).double()
    return LocalGroupEncoder(8, features=2, centres=6, neighbours=4, weights=request.param).double()


def test_the_order_of_points_does_not_matter(encoder: Encoder, some_clouds: Any) -> None:
    [cloud] = some_clouds(20, features=2, dtype=torch.float64)
    shuffled = cloud.select(torch.randperm(20))
    torch.testing.assert_close(mean(encoder(PointClouds.of([cloud]))), mean(encoder(PointClouds.of([shuffled]))))


@pytest.mark.parametrize("size", [1, 3, 20])
def test_padding_does_not_matter(encoder: Encoder, size: int, some_clouds: Any) -> None:
    """Also where a cloud has fewer points than there are centres, or neighbours in a group."""
    cloud, larger = some_clouds(size, 25, features=2, dtype=torch.float64)
    alone, batched = encoder(PointClouds.of([cloud])), encoder(PointClouds.of([cloud, larger]))
    torch.testing.assert_close(batched.weights.sum(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(mean(batched)[:1], mean(alone))
    assert (batched.positions[0, ~batched.mask[0]].abs().sum() == 0) or isinstance(encoder, LocalGroupEncoder)


def test_every_point_there_is_weighs_and_has_its_place(encoder: Encoder, some_clouds: Any) -> None:
    clouds = some_clouds(7, 12, features=2, dtype=torch.float64)
    field = encoder(PointClouds.of(clouds))
    assert (field.positions[..., 0] == 0).all()
    for i, cloud in enumerate(clouds):
        places = {tuple(place) for place in field.positions[i, field.mask[i], 1:].tolist()}
        assert places <= {tuple(place) for place in cloud.positions.tolist()}


def test_gradients_reach_every_parameter(encoder: Encoder, some_clouds: Any) -> None:
    encoder(PointClouds.of(some_clouds(30, 30, features=2, dtype=torch.float64))).values.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_other_features_are_refused(encoder: Encoder, some_clouds: Any) -> None:
    with pytest.raises(ShapeError, match=rf"{type(encoder).__name__}\(inputs\): .* features=0"):
        encoder(PointClouds.of(some_clouds(5)))


def test_a_group_is_seen_relative_to_its_centre() -> None:
    """The part of the value that comes from the group stays where the cloud is moved."""
    encoder = LocalGroupEncoder(8, centres=3, neighbours=5).double()
    with torch.no_grad():
        encoder.lift[0].weight[:, -3:] = 0  # type: ignore[operator]  # the part of the centre itself
    cloud = Cloud(torch.randn(20, 3, dtype=torch.float64), torch.empty(20, 0, dtype=torch.float64))
    moved = cloud._replace(positions=cloud.positions + torch.tensor([1.0, -2.0, 3.0]))
    torch.testing.assert_close(encoder(PointClouds.of([cloud])).values, encoder(PointClouds.of([moved])).values)


def test_centres_weigh_as_the_points_nearest_to_them() -> None:
    line = torch.tensor([[-10.0, 0, 0], [-9.9, 0, 0], [-10.1, 0, 0], [10, 0, 0]])
    cloud = [Cloud(line, torch.empty(4, 0))]
    share = LocalGroupEncoder(8, centres=2, neighbours=2)(PointClouds.of(cloud)).weights
    assert sorted(share[0].tolist()) == pytest.approx([0.25, 0.75])
    even = LocalGroupEncoder(8, centres=2, neighbours=2, weights="mean")(PointClouds.of(cloud)).weights
    assert even.tolist() == [[0.5, 0.5]]


def test_a_finer_sample_is_the_same_field() -> None:
    """Points that are there twice, at half the weight, change nothing."""
    encoder = PointEncoder(8)
    cloud = Cloud(torch.randn(20, 3), torch.empty(20, 0))
    twice = Cloud(cloud.positions.repeat(2, 1), torch.empty(40, 0))
    torch.testing.assert_close(mean(encoder(PointClouds.of([cloud]))), mean(encoder(PointClouds.of([twice]))))
