"""Components of `itnet-samplers`. Imports no torch."""

from __future__ import annotations

from functools import partial

from itnet_core import ComponentSpec, hookimpl

sampler = partial(ComponentSpec, "sampler")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the samplers."""
    return [
        sampler("monte-carlo", "itnet_samplers.monte_carlo:MonteCarloSampler", "random points by importance, unbiased"),
        sampler("neighbours", "itnet_samplers.neighbours:NeighboursSampler", "nearest points, a radius, or a window"),
        sampler("landmarks", "itnet_samplers.landmarks:LandmarksSampler", "a coarser field of the same total mass"),
    ]
