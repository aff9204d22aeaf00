from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import trimesh

from itnet_pointcloud.data.surface import sample_surface, to_unit_sphere
from itnet_pointcloud.points import Cloud


def test_points_lie_on_the_surface_and_normals_stand_on_it(write_mesh: Any, tmp_path: Path) -> None:
    cloud = sample_surface(write_mesh(tmp_path / "box.ply"), 500, normals=True)
    assert cloud.positions.shape == cloud.features.shape == (500, 3)
    torch.testing.assert_close(cloud.positions.abs().amax(1), torch.full((500,), 0.5))
    on_face = (cloud.positions * cloud.features).sum(1)
    torch.testing.assert_close(on_face, torch.full((500,), 0.5))  # outwards


def test_a_mesh_far_from_the_origin_keeps_its_shape(tmp_path: Path) -> None:
    mesh = trimesh.creation.box()
    mesh.apply_translation([5e6, -2e7, 0])
    mesh.export(tmp_path / "far.obj")
    positions = sample_surface(tmp_path / "far.obj", 500).positions
    torch.testing.assert_close(positions.abs().amax(1), torch.full((500,), 0.5))


def test_larger_faces_get_more_points(write_mesh: Any, tmp_path: Path) -> None:
    """Of a box of 1 × 1 × 4, top and bottom are 2 of 18."""
    cloud = sample_surface(write_mesh(tmp_path / "tall.off", 4), 20000, normals=True)
    share = (cloud.features[:, 2].abs() > 0.5).float().mean().item()
    assert share == pytest.approx(2 / 18, abs=4 * (1 / 9 * 8 / 9 / 20000) ** 0.5)


def test_the_same_contents_give_the_same_points(write_mesh: Any, tmp_path: Path) -> None:
    path = write_mesh(tmp_path / "box.stl")
    moved = shutil.copy(path, tmp_path / "moved.stl")
    assert torch.equal(sample_surface(path, 50).positions, sample_surface(Path(moved), 50).positions)
    other = write_mesh(tmp_path / "other.stl", 1.001)
    assert not torch.allclose(sample_surface(path, 50).positions, sample_surface(other, 50).positions, atol=0.01)


def test_the_unit_sphere_holds_every_cloud(some_clouds: Any) -> None:
    [cloud] = some_clouds(30, features=2)
    moved = cloud._replace(positions=cloud.positions * 7 + torch.tensor([1.0, 20, -3]))
    normal = to_unit_sphere(moved)
    torch.testing.assert_close(normal.positions, to_unit_sphere(cloud).positions)
    torch.testing.assert_close(normal.positions.norm(dim=1).max(), torch.tensor(1.0))
    torch.testing.assert_close(normal.positions.mean(0), torch.zeros(3))
    assert normal.features is cloud.features


def test_a_cloud_of_one_place_stays_finite() -> None:
    assert to_unit_sphere(Cloud(torch.ones(3, 3), torch.empty(3, 0))).positions.tolist() == [[0, 0, 0]] * 3
