"""The scale of the integral at the start, of every kernel that has no maps of its own.

Run `python benchmarks/initial_scales.py` (a minute on a core); it rewrites the table in docs/initialisation.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from provenance import provenance, rewrite_section
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import DenseEvaluator, Field, IntegralOperator, initialize_scales
from itnet_registry import create

PAGE = Path(__file__).parent.parent / "docs/initialisation.md"
START, END = "<!-- scales -->", "<!-- end of scales -->"
DIM, BATCH, SEEDS = 32, 2, 1
SIDES = {1: (16, 49, 196, 784), 2: (4, 7, 14, 28), 3: (3, 4, 6, 9)}
"""Points along an axis, so that grids in 1, 2 and 3 dimensions have about as many points."""
KERNELS: dict[str, dict[str, Any]] = {
    "mlp": {"name": "mlp"},
    "mlp, softmax": {"name": "mlp", "normalization": "softmax"},
    "mlp, counting measure": {"name": "mlp"},
    "mlp, radius 0.5": {"name": "mlp", "support": {"radius": 0.5}},
    "attention": {"name": "attention"},
    "linear-attention": {"name": "linear-attention"},
    "gaussian": {"name": "gaussian"},
    "continuous-convolution": {"name": "continuous-convolution"},
    "low-rank": {"name": "low-rank"},
}


def field(side: int, axes: int, measure: Any) -> Field:
    """Return a smooth normalised field on a grid: random waves of half the domain and longer."""
    grid = Field.on_grid(torch.zeros(BATCH, *[side] * axes, 1), axes="txyz"[-axes:], measure=measure)
    phases = grid.positions @ torch.randn(4, 32) * 2
    waves = torch.cat([phases.sin(), phases.cos()], -1) @ torch.randn(BATCH, 64, DIM)
    return grid.with_values(F.layer_norm(waves, (DIM,)))


@torch.no_grad()
def deviation(options: dict[str, Any], values: Field, *, initialized: bool) -> float:
    """Return the standard deviation over the points of what the output map receives, the mean over heads and seeds."""
    total = 0.0
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        operator = IntegralOperator(DIM, create("kernel", dim=DIM, **options), evaluator=DenseEvaluator())
        before = output_weight(operator).clone()
        if initialized:
            initialize_scales(operator, (values,))
        factors = (output_weight(operator) / before).mean(0)
        integral = operator.evaluator(*operator.problems(values)).flatten(0, 1).flatten(1)
        total += float((integral * factors).var(0).mean().sqrt()) / SEEDS
    return total


def output_weight(operator: IntegralOperator) -> Tensor:
    """Return the weight of the output map, (out_dim, heads·head_dim)."""
    return cast(nn.Linear, [*operator.output.modules()][-1]).weight


def main() -> None:
    """Measure, print and write the table."""
    columns = [f"{axes}-D, {side**axes}" for axes, sides in SIDES.items() for side in sides]
    lines = [provenance() + ".", "", f"| kernel | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name, options in KERNELS.items():
        starts = [False, True] if name.startswith(("mlp", "low-rank")) else [False]
        for initialized in starts:
            numbers = []
            for axes, sides in SIDES.items():
                for side in sides:
                    torch.manual_seed(0)
                    values = field(side, axes, "counting" if "counting" in name else "mean")
                    numbers.append(f"{deviation(options, values, initialized=initialized):.2f}")
            lines.append(f"| {name}{', initialized' if initialized else ''} | {' | '.join(numbers)} |")
            print(lines[-1], flush=True)
    rewrite_section(PAGE, START, END, lines)


if __name__ == "__main__":
    main()
