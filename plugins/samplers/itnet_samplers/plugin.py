"""What this plugin brings. Imports no torch."""

from __future__ import annotations

from itnet_core import ComponentSpec, hookimpl


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the samplers."""
    return [
        _spec("monte-carlo", "monte_carlo:MonteCarloSampler", "M points drawn by importance, weighted to be unbiased"),
        _spec("neighbours", "neighbours:NeighboursSampler", "the nearest points, a radius, or a window on a grid"),
        _spec("landmarks", "landmarks:LandmarksSampler", "a coarser field whose points carry the mass around them"),
    ]


def _spec(name: str, target: str, summary: str) -> ComponentSpec:
    return ComponentSpec(kind="sampler", name=name, target=f"itnet_samplers.{target}", summary=summary)
