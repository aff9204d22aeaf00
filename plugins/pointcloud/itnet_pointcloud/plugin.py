"""Components and presets of `itnet-pointcloud`. Imports no torch."""

from __future__ import annotations

from functools import partial
from typing import Any

from itnet_core import ComponentSpec, PresetSpec, hookimpl

cloud = partial(ComponentSpec, modality="point-cloud")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders and the tasks."""
    encoders, tasks = "itnet_pointcloud.encoders", "itnet_pointcloud.tasks"
    return [
        cloud("encoder", "point", f"{encoders}.point:PointEncoder", "every point of the cloud"),
        cloud(
            "encoder",
            "local-group",
            f"{encoders}.local_group:LocalGroupEncoder",
            "groups around farthest points",
            citations=("qi2017pointnet2",),
        ),
        cloud(
            "task",
            "modelnet40",
            f"{tasks}.modelnet:ModelNet40",
            "12,311 meshes of 40 kinds of objects",
            citations=("wu2014modelnet",),
        ),
        cloud(
            "task",
            "modelnet10",
            f"{tasks}.modelnet:ModelNet10",
            "4,899 meshes of 10 kinds of furniture",
            citations=("wu2014modelnet",),
        ),
        cloud("task", "mesh-folder", f"{tasks}.folder:MeshFolder", "your own meshes, one folder per class"),
        cloud(
            "task",
            "part-segmentation",
            f"{tasks}.segmentation:PartSegmentation",
            "50 parts of ShapeNet's objects",
            citations=("chang2015shapenet", "yi2016parts"),
        ),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack only a task."""
    return [
        PresetSpec("pointcloud-nano", "clouds of about 1,000 points on a CPU", _groups("itnet-nano", 64)),
        PresetSpec("pointcloud-s", "the paper's S, on 512 groups of neighbours", _groups("itnet-s", 512)),
    ]


def _groups(size: str, centres: int) -> dict[str, Any]:
    encoder = {"name": "itnet-pointcloud/local-group", "centres": centres, "neighbours": 32}
    return {"preset": f"itnet-core/{size}", "encoder": encoder}
