"""Classification of your own meshes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import NonNegativeFloat

from itnet_pointcloud.data.augmentation import Factor
from itnet_pointcloud.tasks.shape_classification import ShapeClassification
from itnet_tasks import FolderClassification


class MeshFolder(FolderClassification, ShapeClassification):
    """Meshes in OFF, OBJ, PLY or STL in one folder per class; see `FolderClassification` for the layouts.

    A file whose suffix is not that of a mesh is skipped with a warning. A file with the suffix of a mesh that is not a
    mesh is a bad sample.

    Example:
        >>> import trimesh
        >>> from pathlib import Path
        >>> for name, mesh in {"ball": trimesh.creation.icosphere(1), "box": trimesh.creation.box()}.items():
        ...     Path("shapes", name).mkdir(parents=True)
        ...     for i in range(5):
        ...         _ = mesh.export(f"shapes/{name}/{i}.off")
        >>> task = MeshFolder(root="shapes", points=256)
        >>> task.classes, len(task.dataset("train")), task.dataset("test")[0].inputs.positions.shape
        (('ball', 'box'), 6, torch.Size([256, 3]))
    """

    class Config(FolderClassification.Config, ShapeClassification.Config):
        """Options of `ShapeClassification`; set `up` to the axis that points up in your files."""

        stretch: Factor = 1.1
        """Largest factor by which a cloud is enlarged or shrunk along each axis separately."""

        jitter: NonNegativeFloat = 0.01
        """Standard deviation of the noise on each coordinate, truncated at twice as much."""

    kind = "meshes"

    @classmethod
    def propose(cls, files: Sequence[Path]) -> tuple[str, Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]]:
        """Return clouds of 512 points in 64 groups, or of half as many."""
        encoder = {"name": "itnet-pointcloud/local-group", "centres": 32, "neighbours": 16}
        whole = {"preset": "itnet-pointcloud/pointcloud-nano"}
        return "", [(whole, {"points": 512}), ({**whole, "encoder": encoder}, {"points": 256})]
