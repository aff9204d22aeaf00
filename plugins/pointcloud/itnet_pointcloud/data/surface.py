"""Points drawn from the surface of a mesh."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
import trimesh
from torch import Tensor

from itnet_pointcloud.data.meshes import open_mesh
from itnet_pointcloud.points import Cloud


def sample_surface(path: Path, count: int, *, normals: bool = False) -> Cloud:
    """Return points of a mesh file's surface, each part of it as likely as its area is large.

    The same file gives the same points, wherever it lies: its contents are the seed. The points are in no order, so
    that the first of them are a sample too. Positions are relative to the middle of the mesh's bounds, as float32 would
    blur a mesh far from 0.

    Args:
        path: the file.
        count: how many points.
        normals: whether the features are the unit normals of the triangles, (count, 3), or none, (count, 0).

    Raises:
        DataError: it is no sound mesh; see `open_mesh`.
    """
    mesh = open_mesh(path)
    positions, triangles = trimesh.sample.sample_surface(mesh, count, seed=zlib.crc32(path.read_bytes()))
    features = mesh.face_normals[triangles] if normals else np.zeros((count, 0))
    return Cloud(_tensor(positions - mesh.bounds.mean(0)), _tensor(features))


def to_unit_sphere(cloud: Cloud) -> Cloud:
    """Return the cloud around its mean, with its farthest point at distance 1; features are kept.

    This is what the field does with ModelNet and ShapeNet. Sizes and places are lost, on purpose: those of meshes from
    different hands are in different units.
    """
    largest = cloud.positions.abs().max()
    positions = cloud.positions / largest if largest > 0 else cloud.positions  # whose squares stay within float32
    centred = positions - positions.mean(0)
    radius = centred.norm(dim=-1).max()
    return cloud._replace(positions=centred / radius if radius > 0 else centred)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32)
