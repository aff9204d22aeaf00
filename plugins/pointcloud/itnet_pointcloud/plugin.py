"""What this plugin brings. Imports no torch."""

from __future__ import annotations

from itnet_core import ComponentSpec, PresetSpec, hookimpl
from itnet_core.plugin.specs import Kind


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders and the tasks."""
    return [
        _spec("encoder", "point", "point:PointEncoder", "every point one point of the field"),
        _spec("encoder", "local-group", "local_group:LocalGroupEncoder", "farthest points, each with its neighbours"),
        _spec("task", "modelnet40", "modelnet:ModelNet40", "12,311 meshes of 40 kinds of objects"),
        _spec("task", "modelnet10", "modelnet:ModelNet10", "4,899 meshes of 10 kinds of furniture"),
        _spec("task", "mesh-folder", "folder:MeshFolder", "a folder a class, of meshes in OFF, OBJ, PLY or STL"),
        _spec("task", "part-segmentation", "segmentation:PartSegmentation", "ShapeNet's 50 parts of 16 categories"),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack a task alone."""
    return [
        PresetSpec(
            name="pointcloud-nano",
            summary="clouds of about 1,000 points on a CPU",
            config={
                "preset": "itnet-core/itnet-nano",
                "encoder": {"name": "itnet-pointcloud/local-group", "centres": 64, "neighbours": 32},
            },
        ),
        PresetSpec(
            name="pointcloud-s",
            summary="groups of neighbours around 512 centres, the paper's S",
            config={
                "preset": "itnet-core/itnet-s",
                "encoder": {"name": "itnet-pointcloud/local-group", "centres": 512, "neighbours": 32},
            },
        ),
    ]


def _spec(kind: Kind, name: str, target: str, summary: str) -> ComponentSpec:
    target = f"itnet_pointcloud.{target}"
    return ComponentSpec(kind=kind, name=name, target=target, summary=summary, modality="point-cloud")
