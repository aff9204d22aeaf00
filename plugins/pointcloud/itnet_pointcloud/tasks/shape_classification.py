"""What all tasks of classifying meshes share: how a mesh becomes the cloud that an encoder reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt, model_validator
from torchmetrics.classification import MulticlassAccuracy

from itnet_core import Metric
from itnet_pointcloud.data.augmentation import Augmentation, AugmentationConfig
from itnet_pointcloud.data.surface import sample_surface, to_unit_sphere
from itnet_pointcloud.points import Cloud, Points
from itnet_tasks import Classification


class ShapeClassification(Classification):
    """Base of the tasks: clouds of points of a mesh's surface, in the unit sphere, augmented for training."""

    class Config(Classification.Config, AugmentationConfig):
        root: str
        """The folder that holds the meshes."""

        points: PositiveInt = 1024
        """Of a training cloud."""

        evaluation_points: PositiveInt | None = None
        """Of a cloud for evaluation; as many as in training where nothing is said. The operator takes any number: more
        are a finer sample of the same surface."""

        pool: PositiveInt = 4096
        """Points that are drawn from a mesh, once, and kept in memory by each process that loads data. Training takes
        other `points` of them each time, evaluation the first."""

        normals: bool = False
        """Whether the triangles' normals are the points' features."""

        @model_validator(mode="after")
        def _pool_is_large_enough(self) -> ShapeClassification.Config:
            if self.pool < max(self.points, self.evaluation_points or 0):
                raise ValueError(f"a pool of {self.pool} points is smaller than a cloud; make it larger")
            return self

    modality = "point-cloud"

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """The points' features."""
        return {"features": 3 if self.config.normals else 0}

    def loader(self, *, training: bool) -> Callable[[Path], Cloud]:
        """Return what makes of a mesh file a cloud."""
        c = self.config
        augmentation = Augmentation(c, normals=c.normals) if training and c.augment else None
        return MeshLoader(c, augmentation, at_random=training)

    def collate_inputs(self, inputs: Sequence[Cloud]) -> Points:
        """Return clouds as one batch."""
        return Points.of(inputs)

    def metrics(self) -> Mapping[str, Metric]:
        """Return overall accuracy, and the mean of the classes' accuracies."""
        return {**super().metrics(), "mean_class_accuracy": MulticlassAccuracy(len(self.classes), average="macro")}


class MeshLoader:
    """Makes of a mesh file a cloud, and remembers the points that it drew of each file.

    Args:
        config: how many points, and which features.
        augmentation: for training; none for evaluation.
        at_random: whether to take any of the pool's points, or the first.
    """

    def __init__(
        self, config: ShapeClassification.Config, augmentation: Augmentation | None, *, at_random: bool
    ) -> None:
        self.config, self.augmentation, self.at_random = config, augmentation, at_random
        self._pools: dict[Path, Cloud] = {}

    def __call__(self, path: Path) -> Cloud:
        """Return the cloud of a file.

        Raises:
            DataError: it is no sound mesh.
        """
        c = self.config
        if path not in self._pools:
            self._pools[path] = sample_surface(path, c.pool, normals=c.normals)
        pool = self._pools[path]
        if self.at_random:
            cloud = to_unit_sphere(pool.select(torch.randperm(c.pool)[: c.points]))
        else:
            count = c.evaluation_points or c.points
            cloud = to_unit_sphere(Cloud(pool.positions[:count], pool.features[:count]))
        return cloud if self.augmentation is None else self.augmentation(cloud)
