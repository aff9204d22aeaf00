"""A plugin with encoders of batches in containers of different kinds, and a kernel that reads attributes of points."""

from __future__ import annotations

from itnet_core import ComponentSpec, hookimpl


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the components."""
    segments = "itnet_containers.segments"
    return [
        ComponentSpec(
            "encoder", "packed", f"{segments}:PackedEncoder", "packs sequences into one", modality="sequence"
        ),
        ComponentSpec("kernel", "segments", f"{segments}:SegmentKernel", "a Gaussian within a segment"),
        *(
            ComponentSpec("encoder", name, f"itnet_containers.encoders:{cls}", f"reads a {cls}", modality=name)
            for name, cls in (("pyg", "OfPyG"), ("mapping", "OfMapping"), ("dataclass", "OfDataclass"))
        ),
    ]
