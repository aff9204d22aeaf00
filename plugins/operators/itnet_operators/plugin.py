"""Components and presets of `itnet-operators`. Imports no torch."""

from __future__ import annotations

from functools import partial
from typing import Any

from itnet_core import ComponentSpec, PresetSpec, hookimpl

field = partial(ComponentSpec, modality="field")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoder, the kernel and the tasks."""
    tasks = "itnet_operators.tasks"
    return [
        field(
            "encoder",
            "periodic-field",
            "itnet_operators.encoders.periodic_field:PeriodicFieldEncoder",
            "fields whose periodic axes are circles",
        ),
        ComponentSpec(
            "kernel",
            "periodic-mlp",
            "itnet_operators.kernels.periodic_mlp:PeriodicMLPKernel",
            "the MLP kernel on a periodic domain",
        ),
        field(
            "task",
            "darcy",
            f"{tasks}.darcy:Darcy",
            "flow through porous ground, 16 x 16 and 32 x 32 points",
            citations=("li2020fno",),
        ),
        field(
            "task",
            "burgers",
            f"{tasks}.burgers:Burgers",
            "Burgers' equation on a circle, 4 to 256 points",
            citations=("li2020fno",),
        ),
        field(
            "task",
            "antiderivative",
            f"{tasks}.antiderivative:Antiderivative",
            "integrals of random functions",
            citations=("lu2019deeponet",),
        ),
        field("task", "field-folder", f"{tasks}.folder:FieldFolder", "your own fields, in .npz or HDF5 files"),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack only a task."""
    return [
        PresetSpec("operator-nano", "fields on a square, of a grid of 16 × 16 points or more, on a CPU", _plane()),
        PresetSpec("operator-1d-nano", "functions on an interval, at any points, on a CPU", _line()),
        PresetSpec("operator-periodic-nano", "functions on a circle, at any points, on a CPU", _circle()),
    ]


def _plane() -> dict[str, Any]:
    """Return two scales: windows of 5 × 5 of 16 × 16 points, and all pairs of a grid of 8 × 8."""
    near: dict[str, Any] = {
        "kernel": {
            "heads": 9,
            "frequencies": 4,
            "inputs": ["displacement", "distance", "fourier"],
            "values": "full",
            "support": {"window": 0.3125, "edge": 0.125},  # a smooth edge: the same at other resolutions
        },
        "ffn_ratio": 0,
        "norm_first": False,
    }
    content = ["query", "key", "product", "displacement", "distance"]
    return {
        "encoder": {"name": "itnet-operators/periodic-field"},
        "width": 32,
        "norm": "none",  # a norm would hide the scale of the function
        "kernel": {"name": "itnet-core/mlp", "heads": 4, "hidden": 8, "rank": 8, "inputs": content},
        "trunk": [near, {"width": 80, "query": {"grid": 8}}, {"width": 80}, {"query": {"block": 0}}, near],
    }


def _line() -> dict[str, Any]:
    """Return blocks of all pairs."""
    kernel = {"name": "itnet-core/mlp", "heads": 4, "hidden": 16, "rank": 8, "frequencies": 4}
    return {**_BLOCKS, "kernel": kernel}


def _circle() -> dict[str, Any]:
    """Return blocks of all pairs, with a kernel of the displacement alone and of few harmonics."""
    kernel = {
        "name": "itnet-operators/periodic-mlp",
        "heads": 4,
        "hidden": 32,
        "rank": 8,
        "inputs": ["fourier"],
        "values": "full",
    }
    return {**_BLOCKS, "width": 28, "kernel": kernel}


_BLOCKS: dict[str, Any] = {
    "encoder": {"name": "itnet-operators/periodic-field"},
    "width": 32,
    "norm": "none",  # a norm would hide the scale of the function
    "norm_first": False,
    "trunk": [{"repeat": 4}],
}
