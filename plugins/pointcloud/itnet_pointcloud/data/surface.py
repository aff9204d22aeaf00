"""Sample points from the surface of a mesh."""

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
    """Sample points uniformly from the surface of a mesh file.

    The content of the file is the seed, so that equal files give equal points. The points are in random order, so that
    the first n are a uniform sample too. Positions are relative to the centre of the mesh's bounds, because float32
    would blur a mesh far from 0.

    Args:
        path: the file.
        count: number of points.
        normals: return the unit normals of the triangles as features, shape (count, 3). Otherwise features have shape
            (count, 0).

    Raises:
        DataError: the file contains no sound mesh; see `open_mesh`.
    """
    mesh = open_mesh(path)
    positions, triangles = trimesh.sample.sample_surface(mesh, count, seed=zlib.crc32(path.read_bytes()))
    features = mesh.face_normals[triangles] if normals else np.zeros((count, 0))
    return Cloud(_tensor(positions - mesh.bounds.mean(0)), _tensor(features))


def to_unit_sphere(cloud: Cloud) -> Cloud:
    """Centre a cloud on its mean, and scale its farthest point to distance 1; features do not change.

    This is the usual normalisation of ModelNet and ShapeNet. It deliberately discards sizes and positions, because
    meshes from different sources have different units.
    """
    largest = cloud.positions.abs().max()
    positions = cloud.positions / largest if largest > 0 else cloud.positions  # whose squares stay within float32
    centred = positions - positions.mean(0)
    radius = centred.norm(dim=-1).max()
    return cloud._replace(positions=centred / radius if radius > 0 else centred)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32)
