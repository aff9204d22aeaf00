"""Error of Monte Carlo at M points, by proposal and method, and its speed relative to the exact sum.

Run `python benchmarks/samplers.py` (3 minutes); it writes its page and docs/images/benchmark_samplers.svg.
"""

from __future__ import annotations

from functools import partial
from math import log
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("svg")

import torch
from matplotlib import pyplot
from measuring import IMAGES, Ratio, Report, goal, in_environment, interleaved
from torch import Tensor

from itnet_core import Field, IntegralOperator, MLPKernel, TiledEvaluator, auxiliary_losses
from itnet_registry import create

SIDE, QUERIES, DIM = 128, 64, 16
POINTS = (10, 32, 100, 316, 1000, 4096)
WAYS: dict[str, dict[str, Any]] = {
    "uniform, independent": {"proposal": "uniform", "method": "independent"},
    "uniform, systematic": {"proposal": "uniform", "method": "systematic"},
    "learned, independent": {"proposal": "learned", "method": "independent"},
    "learned, systematic": {"proposal": "learned", "method": "systematic"},
    "learned, priority": {"proposal": "learned", "method": "priority"},
}


def heavy_field() -> Field:
    """Return a smooth field on a grid, 1% of whose points, scattered, have values that are 30 times as large."""
    torch.manual_seed(0)
    at = torch.linspace(-1, 1, SIDE)
    waves = [torch.sin((1 + k / 4) * at.view(-1, 1) + k * at / 2 + k) for k in range(DIM)]
    values = torch.stack(waves, dim=-1).flatten(0, 1)
    values[torch.rand(SIDE * SIDE) < 0.01] *= 30
    return Field.on_grid(values.view(1, SIDE, SIDE, DIM))


def new_sampler(points: int, **options: Any) -> Any:
    """Return a Monte Carlo sampler in the plane."""
    return create("sampler", "itnet-samplers/monte-carlo", dim=DIM, points=points, position_dim=2, **options)


def learn(operator: IntegralOperator, query: Field, key: Field, steps: int = 400) -> None:
    """Train the operator's proposal by its own loss."""
    optimizer = torch.optim.Adam(operator.sampler.parameters(), lr=0.02)
    for _ in range(steps):
        with auxiliary_losses() as losses:
            operator(query, key)
        optimizer.zero_grad()
        loss: Any = losses[0]
        loss.backward()
        optimizer.step()


@torch.no_grad()
def relative_error(operator: IntegralOperator, query: Field, key: Field, exact: Tensor, draws: int = 40) -> float:
    """Return the root of the mean square of a draw's error, as a share of the integral's."""
    off = torch.stack([operator(query, key).values - exact for _ in range(draws)])
    return float(off.square().mean().sqrt() / exact.square().mean().sqrt())


def errors() -> dict[str, list[float]]:
    """Return the error of each way at each number of points."""
    key = heavy_field()
    chosen = torch.randperm(SIDE * SIDE, generator=torch.Generator().manual_seed(1))[:QUERIES]
    query = Field(key.values[:, chosen], key.positions[:, chosen])
    kernel = MLPKernel(DIM, heads=4, hidden=16, position_dim=2, frequency_scale=0.3)
    operator = IntegralOperator(DIM, kernel, pointwise=False)
    with torch.no_grad():
        exact = operator(query, key).values
    operator.sampler = new_sampler(128, proposal="learned", method="independent")
    learn(operator, query, key)
    learned = operator.sampler.state_dict()
    found: dict[str, list[float]] = {}
    for way, options in WAYS.items():
        for points in POINTS:
            operator.sampler = new_sampler(points, **options)
            if options["proposal"] == "learned":
                operator.sampler.load_state_dict(learned)
            torch.manual_seed(points)
            found.setdefault(way, []).append(relative_error(operator, query, key, exact))
        print(way, [f"{error:.4f}" for error in found[way]], flush=True)
    return found


def slope(errors: list[float]) -> float:
    """Return the exponent of M by least squares over the logarithms."""
    x, y = ([log(value) for value in values] for values in (POINTS, errors))
    centre = sum(x) / len(x)
    return sum((a - centre) * b for a, b in zip(x, y, strict=True)) / sum((a - centre) ** 2 for a in x)


def plot(found: dict[str, list[float]]) -> None:
    """Draw the errors over the points."""
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for way, line in found.items():
        axes.loglog(POINTS, line, marker="o", label=way)
    start = found["uniform, independent"][0]
    axes.loglog(POINTS, [start * (m / POINTS[0]) ** -0.5 for m in POINTS], "k:", label="M^(-1/2)")
    axes.set(xlabel="points M", ylabel="relative error", title=f"N = {SIDE * SIDE}, 1% heavy points")
    axes.legend()
    figure.tight_layout()
    figure.savefig(IMAGES / "benchmark_samplers.svg", metadata={"Date": None})


def speeds() -> list[dict[str, Any]]:
    """Return rows of times, exact and by 128 points of 16384, one sample, in the plane, d = 64."""
    torch.manual_seed(0)
    kernel = MLPKernel(64, position_dim=2, heads=4, hidden=32)
    full = IntegralOperator(64, kernel, evaluator=TiledEvaluator())
    sampled = IntegralOperator(64, kernel, create("sampler", "itnet-samplers/monte-carlo", dim=64, points=128))
    field = Field(torch.randn(1, 16384, 64), 2 * torch.rand(1, 16384, 2) - 1)

    def forward(operator: IntegralOperator) -> None:
        with torch.no_grad():
            operator(field)

    def both(operator: IntegralOperator) -> None:
        values = field.values.clone().requires_grad_()
        loss: Any = operator(field.with_values(values)).values.sum()
        loss.backward()

    rows = []
    for what, run, least, wanted in (("forward", forward, 5, 30.0), ("forward + backward", both, 1, None)):
        times = interleaved({"exact": partial(run, full), "sampled": partial(run, sampled)}, seconds=0, least=least)
        ratio = Ratio.of(times["exact"], times["sampled"])
        rows.append(
            {
                "": what,
                "exact, tiled, s": median(times["exact"]),
                "Monte Carlo, ms": 1e3 * median(times["sampled"]),
                "times as fast": ratio,
                "goal": goal(ratio.median, least=wanted),
            }
        )
        print(" | ".join(str(value) for value in rows[-1].values()), flush=True)
    return rows


def main() -> None:
    """Measure, and write the page."""
    found, times = errors(), speeds()
    plot(found)
    gain = [(a / b) ** 2 for a, b in zip(found["uniform, independent"], found["learned, independent"], strict=True)]
    report = Report(
        "samplers",
        "Samplers: Monte Carlo",
        f"The field is smooth, on {SIDE} by {SIDE} points; 1% of the points, scattered, have values 30 times as large."
        f" The kernel is the paper's, without normalisation, at {QUERIES} queries. The table shows the root mean square"
        " error over 40 draws of M points, relative to the root mean square of the integral. The proposal was trained"
        " for 400 steps of 128 points. The last column is the exponent of M, fitted over all M. It is -1/2 for"
        " independent draws, and smaller for draws without replacement, the more so the nearer M is to N.",
    )
    rows = [
        {"proposal, method": way}
        | {f"M = {m}": e for m, e in zip(POINTS, line, strict=True)}
        | {"exponent": slope(line)}
        for way, line in found.items()
    ]
    report.table("errors", dict.fromkeys(rows[0], ".4f") | {"proposal, method": "", "exponent": ".2f"}, rows)
    report.add_text(
        f"At equal M the learned proposal has {min(gain):.1f} to {max(gain):.1f} times less variance than the uniform"
        f" one (independent draws); the goal is {goal(min(gain), least=2)}."
    )
    report.add_text("![Error over the number of points](../images/benchmark_samplers.svg)")
    report.add_text(
        "Speed: N = 16384 points in the plane, d = 64, 4 heads, hidden 32, all inputs of the kernel, float32; M = 128"
        " points, systematic, compared with the exact sum by `tiled`, interleaved in one process."
    )
    columns = {"": "", "exact, tiled, s": ".2f", "Monte Carlo, ms": ".0f", "times as fast": "", "goal": ""}
    report.table("speed", columns, times)
    report.write()


if __name__ == "__main__":
    in_environment(main)
