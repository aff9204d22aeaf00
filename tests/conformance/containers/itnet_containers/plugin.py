"""A plugin whose encoders take batches in containers of different kinds."""

from __future__ import annotations

from itnet_core import ComponentSpec, hookimpl


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders."""
    return [
        ComponentSpec("encoder", name, f"itnet_containers.encoders:{cls}", f"reads a {cls}", modality=name)
        for name, cls in (("pyg", "OfPyG"), ("mapping", "OfMapping"), ("dataclass", "OfDataclass"))
    ]
