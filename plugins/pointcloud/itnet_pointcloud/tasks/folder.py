"""A user's own meshes."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from itnet_pointcloud.data.augmentation import Factor
from itnet_pointcloud.data.meshes import SUFFIXES
from itnet_pointcloud.tasks.shape_classification import ShapeClassification
from itnet_tasks import FolderClassification


class MeshFolder(FolderClassification, ShapeClassification):
    """Meshes in OFF, OBJ, PLY or STL in a folder for each class; see `FolderClassification` for the layouts.

    Files that do not have a mesh's suffix are left out with a warning; those that have one and are no meshes are bad
    samples.
    """

    class Config(FolderClassification.Config, ShapeClassification.Config):
        """As `ShapeClassification.Config`; `up` is whatever it is in the user's files."""

        stretch: Factor = 1.1
        jitter: NonNegativeFloat = 0.01

    suffixes = SUFFIXES
