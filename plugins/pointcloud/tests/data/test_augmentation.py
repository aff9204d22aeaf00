from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_pointcloud.data.augmentation import AugmentationConfig, CloudAugmentation, random_rotation, rotation_about
from itnet_pointcloud.points import Cloud


def augmented(cloud: Cloud, *, normals: bool = False, **options: Any) -> Cloud:
    return CloudAugmentation(AugmentationConfig(**{"rotation": "none", **options}), normals)(cloud)


@pytest.fixture
def cloud(some_clouds: Any) -> Cloud:
    return some_clouds(40)[0]


def test_without_options_nothing_changes(cloud: Cloud) -> None:
    assert torch.equal(augmented(cloud).positions, cloud.positions)


@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_rotation_about_the_vertical_keeps_heights_and_distances(up: int, cloud: Cloud) -> None:
    turned = augmented(cloud, rotation="vertical", up="xyz"[up]).positions
    torch.testing.assert_close(turned[:, up], cloud.positions[:, up])
    torch.testing.assert_close(torch.pdist(turned), torch.pdist(cloud.positions), rtol=1e-4, atol=1e-5)
    assert (turned - cloud.positions).abs().max() > 0.1


def test_any_rotation_keeps_distances_and_handedness(cloud: Cloud) -> None:
    turned = augmented(cloud, rotation="any").positions
    torch.testing.assert_close(torch.pdist(turned), torch.pdist(cloud.positions), rtol=1e-4, atol=1e-5)
    turns = torch.stack([random_rotation() for _ in range(500)])
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(500))
    assert turns.mean(0).abs().max() < 5 / (3 * 500) ** 0.5  # none is more likely than others


def test_a_turn_is_no_larger_than_said() -> None:
    ahead = Cloud(torch.tensor([[1.0, 0, 0]]), torch.empty(1, 0))
    angles = [augmented(ahead, rotation="vertical", turn=10).positions[0] for _ in range(200)]
    degrees = torch.stack(angles)[:, 1].asin().rad2deg().abs()
    assert 8 < degrees.max() <= 10.001


def test_turning_there_and_back() -> None:
    for axis in range(3):
        torch.testing.assert_close(
            rotation_about(axis, torch.tensor(0.7)) @ rotation_about(axis, torch.tensor(-0.7)), torch.eye(3)
        )


@pytest.mark.parametrize(("up", "mirrored"), [("x", 1), ("y", 0), ("z", 0)])
def test_a_mirror_swaps_left_and_right(up: str, mirrored: int, cloud: Cloud) -> None:
    expected = cloud.positions.clone()
    expected[:, mirrored] *= -1
    assert torch.equal(augmented(cloud, up=up, mirror=1).positions, expected)


def test_scale_keeps_the_shape_and_stretch_does_not(cloud: Cloud) -> None:
    for _ in range(20):
        ratio = augmented(cloud, scale=1.5).positions / cloud.positions
        torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))
        assert 1 / 1.5 <= ratio[0, 0] <= 1.5
    ratio = augmented(cloud, stretch=1.5).positions / cloud.positions
    torch.testing.assert_close(ratio, ratio[0].expand_as(ratio))
    assert ratio[0].std() > 0.01


def test_jitter_is_small_and_bounded(cloud: Cloud) -> None:
    noise = augmented(cloud, jitter=0.01).positions - cloud.positions
    assert 0.005 < noise.std() < 0.015
    assert noise.abs().max() <= 0.02 + 1e-6


def plane_normals(corners: Tensor) -> Tensor:
    edges = corners[:, 1:] - corners[:, :1]
    return torch.nn.functional.normalize(torch.linalg.cross(edges[:, 0], edges[:, 1]), dim=-1)


@pytest.mark.parametrize("options", [{"rotation": "any"}, {"stretch": 2.0}, {"mirror": 1.0}])
def test_normals_go_with_the_surface(options: dict[str, Any]) -> None:
    corners = torch.randn(10, 3, 3)
    cloud = Cloud(corners.flatten(0, 1), plane_normals(corners).repeat_interleave(3, 0))
    changed = augmented(cloud, normals=True, **options)
    expected = plane_normals(changed.positions.view(10, 3, 3)).repeat_interleave(3, 0)
    cosines = (changed.features * expected).sum(1)
    torch.testing.assert_close(cosines.abs(), torch.ones(30))  # a mirror turns the order of corners round


def test_what_is_no_normal_is_kept(some_clouds: Any) -> None:
    [cloud] = some_clouds(5, features=5)
    assert torch.equal(augmented(cloud, normals=True, rotation="any").features[:, 3:], cloud.features[:, 3:])
    assert torch.equal(augmented(cloud, rotation="any").features, cloud.features)
