"""Orders of convergence of integrals over supports, with sharp boundaries and with edges, and what an edge costs.

Run `python benchmarks/supports.py` (a minute on one core); it rewrites the tables in docs/supports.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from provenance import provenance
from torch import Tensor

from itnet_core import DenseEvaluator, Field, IntegralOperator, MLPKernel, Support
from itnet_kernels import GaussianKernel
from itnet_registry import create

PAGE = Path(__file__).parent.parent / "docs/supports.md"
START = "<!-- tables -->"
REACH = 0.37
CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("none", 1, {}),
    ("causal", 1, {"causal": 0}),
    ("radius or window", 1, {"radius": REACH}),
    ("causal", 2, {"causal": 0}),
    ("window", 2, {"window": REACH}),
    ("radius", 2, {"radius": REACH}),
]
SIZES = {1: (32, 64, 128, 256, 512), 2: (16, 24, 32, 48, 64, 96)}
EDGES = (0.0, 1.0, 2.0)
LEGENDRE = [torch.from_numpy(item) for item in np.polynomial.legendre.leggauss(40)]


def function(x: Tensor) -> Tensor:
    """Return the function that is integrated, (..., 1), at points (..., p)."""
    return (2 * x.sum(-1, keepdim=True) + 0.5).sin() + 1.5


def kernel(support: dict[str, Any], edge: float, normalization: str) -> GaussianKernel:
    """Return a Gaussian of the distance that is wide compared with every grid."""
    bounds = Support(**support, edge=edge if support else 0.0)
    return GaussianKernel(1, heads=1, shortest=0.6, normalization=normalization, support=bounds).double()


def line(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of Gauss and Legendre between bounds of shape (n,), both (n, 40)."""
    half = (high - low).unsqueeze(-1) / 2
    return low.unsqueeze(-1) + half * (LEGENDRE[0] + 1), half * LEGENDRE[1]


def quadrature(x: Tensor, support: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Return nodes (n, m, p) and weights (n, m) that are exact to rounding over the support around points (n, p)."""
    if "radius" in support and x.shape[1] == 2:  # in polar coordinates; the disc lies inside the domain
        radius, weight = line(torch.zeros(1).double(), torch.tensor([REACH]).double())
        angle = torch.arange(64).double() * (2 * math.pi / 64)
        around = torch.stack([angle.cos(), angle.sin()], -1)
        nodes = (radius[0, :, None, None] * around).flatten(0, 1)
        return x.unsqueeze(1) + nodes, (radius * weight).T.expand(-1, 64).reshape(1, -1) * (2 * math.pi / 64)
    reach = REACH if {"radius", "window"} & {*support} else math.inf
    axes = []
    for axis in range(x.shape[1]):
        causal = support.get("causal") == axis
        high = x[:, axis] if causal else (x[:, axis] + reach).clamp(max=1)
        axes.append(line((x[:, axis] - reach).clamp(min=-1), high))
    if len(axes) == 1:
        return axes[0][0].unsqueeze(-1), axes[0][1]
    (first, along), (second, across) = axes
    pairs = [first.unsqueeze(2).expand(-1, -1, second.shape[1]), second.unsqueeze(1).expand(-1, first.shape[1], -1)]
    return torch.stack(pairs, -1).flatten(1, 2), (along.unsqueeze(2) * across.unsqueeze(1)).flatten(1)


def summed(x: Tensor, nodes: Tensor, weights: Tensor, of: GaussianKernel) -> Tensor:
    """Return the sum at each of n points over its own nodes, (n,)."""
    values = function(nodes)
    query, key = Field(torch.zeros_like(values[:, :1]), x.unsqueeze(1)), Field(values, nodes, weights)
    return DenseEvaluator()(of.problem(query, key, values.unsqueeze(2))).flatten()


def error(support: dict[str, Any], dimensions: int, size: int, edge: float, normalization: str) -> float:
    """Return the largest error over the grid's points around the middle, relative to the largest integral."""
    field = Field.on_grid(torch.zeros(1, *[size] * dimensions, 1).double())
    x = field.positions[0]
    x = x[(x.abs() <= 0.5).all(-1)]
    x = x[:: max(1, len(x) // 97)]
    nodes, weights = quadrature(x, support)
    exact = summed(x, nodes, weights.expand(nodes.shape[:2]), kernel({}, 0.0, normalization))
    cells = field.positions.expand(len(x), -1, -1), field.weights.expand(len(x), -1) * 2.0**dimensions
    actual = summed(x, *cells, kernel(support, edge * 2 / size, normalization))
    return float((actual - exact).abs().max() / exact.abs().max())


def seconds(run: Callable[[], object]) -> float:
    """Return the shortest time of seven runs."""
    times = []
    for _ in range(7):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times)


def timed(evaluator: str, edge: float) -> float:
    """Return milliseconds of an MLP kernel's operator over 2048 points, forward and backward."""
    torch.manual_seed(0)
    mlp = MLPKernel(32, position_dim=1, support=Support(radius=REACH, edge=edge))
    operator = IntegralOperator(32, mlp, evaluator=create("evaluator", evaluator))
    field = Field.on_grid(torch.randn(1, 2048, 32))
    return 1000 * seconds(lambda: operator(field).values.square().sum().backward())


@torch.no_grad()
def orders() -> list[str]:
    """Return the lines of the table of orders."""
    heads = [f"{edge:g} spacing{'s' * (edge != 1)}" if edge else "sharp" for edge in EDGES]
    lines = ["| support | dimensions | normalization | " + " | ".join(heads) + " |", "|---" * (3 + len(EDGES)) + "|"]
    for name, dimensions, support in CASES:
        for normalization in ("none", "softmax"):
            cells = []
            for edge in EDGES if support else EDGES[:1]:
                sizes = SIZES[dimensions]
                errors = [error(support, dimensions, size, edge, normalization) for size in sizes]
                slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
                cells.append(f"{-slope:.1f} ({errors[-1]:.0e})")
            cells += [""] * (len(EDGES) - len(cells))
            lines.append(f"| {name} | {dimensions} | {normalization} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Measure, print and write the tables."""
    torch.set_num_threads(1)
    table = orders()
    costs = ["| boundary | evaluator | ms |", "|---|---|---|"]
    for boundary, evaluator, edge in (
        ("sharp", "native", 0.0),
        ("sharp", "dense", 0.0),
        ("edge", "dense", 2 / 2048),
        ("sharp", "tiled", 0.0),
        ("edge", "tiled", 2 / 2048),
    ):
        costs.append(f"| {boundary} | `{evaluator}` | {timed(evaluator, edge):.0f} |")
        print(costs[-1], flush=True)
    text = PAGE.read_text().partition(START)[0]
    PAGE.write_text("\n".join([text + START, provenance() + ".", "", *table, "", *costs, ""]))


if __name__ == "__main__":
    main()
