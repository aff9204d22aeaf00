"""Base of mesh classification: sample, normalise and augment clouds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from pydantic import PositiveInt, model_validator

from itnet_core import Metric
from itnet_pointcloud.data.augmentation import AugmentationConfig, CloudAugmentation, Rotation
from itnet_pointcloud.data.meshes import SUFFIXES
from itnet_pointcloud.data.surface import sample_surface, to_unit_sphere
from itnet_pointcloud.data.values import cloud_of
from itnet_pointcloud.points import Cloud, PointClouds
from itnet_tasks import Classification, one_of


class ShapeClassification(Classification):
    """Base of tasks on clouds sampled from a mesh's surface, in the unit sphere, augmented for training."""

    class Config(Classification.Config, AugmentationConfig):
        root: str
        """Folder of the meshes."""

        points: PositiveInt = 1024
        """Number of points of a training cloud."""

        evaluation_points: PositiveInt | None = None
        """Number of points of a cloud for evaluation; by default as in training. More points are a finer sample of the
        same surface."""

        pool: PositiveInt = 4096
        """Number of points sampled once from each mesh, and kept in memory by each process that loads data. Training
        draws `points` of them each time, evaluation takes the first."""

        normals: bool = False
        """Use the triangles' normals as features."""

        evaluation_rotation: Rotation = "none"
        """Rotation of the clouds for evaluation, to measure robustness: by any angle about the `vertical` axis, about
        `any` axis, or `none`. Each mesh has one fixed rotation."""

        @model_validator(mode="after")
        def _pool_is_large_enough(self) -> ShapeClassification.Config:
            largest = max(self.points, self.evaluation_points or 0)
            if self.pool < largest:
                raise ValueError(f"pool = {self.pool} to be at least {largest}, the points of a cloud")
            return self

    modality = "point-cloud"
    suffixes = SUFFIXES

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """Number of features."""
        return {"features": 3 if self.config.normals else 0}

    def loader(self, *, training: bool) -> Callable[[Path | Cloud], Cloud]:
        """Return a function from a mesh file to a cloud."""
        c = self.config
        change: AugmentationConfig = c
        if not training:
            change = AugmentationConfig(up=c.up, rotation=c.evaluation_rotation)
        changed = c.augment if training else c.evaluation_rotation != "none"
        augmentation = CloudAugmentation(change, normals=c.normals) if changed else None
        return MeshLoader(c, augmentation, at_random=training)

    def source_of(self, value: Any) -> Path | Cloud:
        """Return a user's cloud: points (N, 3), with normals (N, 6) if the task uses them; see `cloud_of`.

        All points are used: they should be a uniform sample of a surface. A row of a table names a mesh file.

        Raises:
            DataError: it is another value.
        """
        value = value if isinstance(value, Mapping) and "points" in value else one_of(value, "mesh")
        return value if isinstance(value, Path) else cloud_of(value, normals=self.config.normals)

    def collate_inputs(self, inputs: Sequence[Cloud]) -> PointClouds:
        """Collate clouds."""
        return PointClouds.of(inputs)

    def metrics(self) -> Mapping[str, Metric]:
        """Return overall accuracy, and the mean of the classes' accuracies."""
        from torchmetrics.classification import MulticlassAccuracy  # as in Classification.metrics

        return {**super().metrics(), "mean_class_accuracy": MulticlassAccuracy(len(self.classes), average="macro")}


class MeshLoader:
    """Load mesh files as clouds, and keep the points sampled from each file.

    Args:
        config: number of points, and features.
        augmentation: random changes of the cloud, or `None`.
        at_random: draw the points at random from the pool, and each time other changes; otherwise take the first
            points, and the same changes of a file whenever it is loaded.
    """

    def __init__(
        self, config: ShapeClassification.Config, augmentation: CloudAugmentation | None, *, at_random: bool
    ) -> None:
        self.config, self.augmentation, self.at_random = config, augmentation, at_random
        self._pools: dict[Path, Cloud] = {}

    def __call__(self, path: Path | Cloud) -> Cloud:
        """Load the cloud of a file, or prepare a user's for evaluation.

        Raises:
            DataError: the file contains no sound mesh.
        """
        if isinstance(path, Cloud):
            return to_unit_sphere(path)
        c = self.config
        if path not in self._pools:
            self._pools[path] = sample_surface(path, c.pool, normals=c.normals)
        pool = self._pools[path]
        if self.at_random:
            cloud = to_unit_sphere(pool.select(torch.randperm(c.pool)[: c.points]))
        else:
            count = c.evaluation_points or c.points
            cloud = to_unit_sphere(Cloud(pool.positions[:count], pool.features[:count]))
        if self.augmentation is None:
            return cloud
        if self.at_random:
            return self.augmentation(cloud)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(crc32(path.name.encode()))
            return self.augmentation(cloud)
