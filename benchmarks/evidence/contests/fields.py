"""Contests on operators between fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evidence.baselines import fields
from evidence.contest import Contest, Entry, itnet
from itnet_operators.samples import relative_errors

FIELDS: Mapping[str, Any] = {
    "metric": "relative_l2",
    "higher": False,
    "score": relative_errors,
    "rates": (0.004, 0.008, 0.016),
}
FIELD_RECIPE: Mapping[str, Any] = {"batch_size": 20, "warmup": 0.2, "weight_decay": 0.0001}
DARCY = Contest(
    "darcy",
    "Operators: Darcy flow",
    "950 samples of 16 × 16 points, 16 epochs in batches of 20; test on 50",
    {"name": "darcy", "root": "data/darcy"},
    {**FIELD_RECIPE, "epochs": 16},
    itnet("ITNet", preset="operator-nano"),
    (
        Entry("FNO", "neuraloperator", fields.fno, {"modes": [8, 8], "hidden": 24}),
        Entry(
            "U-NO",
            "neuraloperator",
            fields.uno,
            {
                "hidden": 20,
                "widths": [20, 24, 24, 20],
                "modes": [[8, 8], [6, 6], [6, 6], [8, 8]],
                "scalings": [[1, 1], [0.5, 0.5], [1, 1], [2, 2]],
            },
        ),
    ),
    conditions={"32 × 32": {"resolution": 32}},
    goals="at most 0.085, and 0.110 on 32 × 32 points, which no network was trained on",
    **FIELDS,
)
FNO = Entry("FNO", "neuraloperator", fields.fno, {"modes": [16], "hidden": 24})
"""The rival along a line or a circle."""

BURGERS = Contest(
    "burgers",
    "Operators: Burgers' equation",
    "900 samples of 16 points on a circle, 40 epochs in batches of 20; test on 200",
    {"name": "burgers", "root": "data/burgers"},
    {**FIELD_RECIPE, "epochs": 40},
    itnet("ITNet", preset="operator-periodic-nano"),
    (
        FNO,
        itnet("ITNet with layer norms", preset="operator-periodic-nano", norm="layer", norm_first=True),
    ),
    conditions={f"{n} points": {"resolution": n} for n in (8, 32, 64, 256)},
    goals="the same error at 8 to 256 points",
    **FIELDS,
)
ANTIDERIVATIVE = Contest(
    "antiderivative",
    "Operators: the antiderivative",
    "Random functions on 32 points, 12 epochs in batches of 20",
    {"name": "antiderivative", "points": 32},
    {**FIELD_RECIPE, "epochs": 12, "initialize_scales": False},
    itnet("ITNet", preset="operator-1d-nano"),
    (
        FNO,
        itnet("ITNet with layer norms", preset="operator-1d-nano", norm="layer", norm_first=True),
    ),
    conditions={
        **{f"{n} points": {"points": n} for n in (8, 64, 256)},
        **{f"{n} random points": {"points": n, "irregular": True} for n in (64, 256)},
    },
    goals="the same error at 8 to 256 points, and at irregular points",
    **FIELDS,
)
