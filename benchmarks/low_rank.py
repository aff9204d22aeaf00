"""Kernels of low rank from a thousand points to a million, compared to the exact tiled sum.

Run `python benchmarks/low_rank.py` (2 to 3 minutes, 12 GB of memory); it writes docs/benchmarks/low_rank.md and a plot.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from statistics import median
from typing import Any

import matplotlib
import torch
from measuring import IMAGES, Ratio, Report, goal, in_environment, interleaved, peak_memory, print_memory
from torch import Tensor

from itnet_core import Evaluator, Field, IntegralOperator, Kernel, MLPKernel, TiledEvaluator
from itnet_kernels import LowRankKernel, SkeletonKernel
from itnet_native.evaluator import NativeEvaluator

matplotlib.use("Agg")
from matplotlib import pyplot

DIM, RANK, GOAL, ROWS = 64, 64, 50.0, 128
SIZES = (1024, 4096, 16384, 65536, 262144, 1048576)
COMPARED = LARGEST_EXACT = 65536
REMEMBERED = 262144
RUNS = {"low-rank": 3, "skeleton": 1}
LINEAR = tuple(RUNS)
KERNELS: Mapping[str, Callable[[], Kernel]] = {
    "low-rank": lambda: LowRankKernel(DIM, rank=RANK, position_dim=2),
    "skeleton": lambda: SkeletonKernel(DIM, pivots=RANK, mlp={"position_dim": 2}),
    "exact, tiled": lambda: MLPKernel(DIM, position_dim=2),
    "exact, native": lambda: MLPKernel(DIM, position_dim=2),
}
EVALUATORS: Mapping[str, Evaluator] = {"exact, tiled": TiledEvaluator(), "exact, native": NativeEvaluator()}
DIRECTIONS = ("forward", "forward + backward")


def problem(name: str, points: int) -> tuple[IntegralOperator, Field, Field]:
    """Return an operator, the field of its query points, and the field that it integrates."""
    torch.manual_seed(0)
    evaluator = EVALUATORS.get(name)
    operator = IntegralOperator(DIM, KERNELS[name](), evaluator=evaluator)
    field = Field(torch.randn(1, points, DIM), 2 * torch.rand(1, points, 2) - 1)
    if evaluator is None:
        return operator, field, field
    rows = slice(min(ROWS, points))
    return operator, Field(field.values[:, rows], field.positions[:, rows]), field


def run(operator: IntegralOperator, query: Field, key: Field, direction: str) -> Tensor:
    """Run the operator in one direction, or in both."""
    if direction == "forward":
        with torch.no_grad():
            return operator(query, key).values
    values = key.values.clone().requires_grad_()
    key = key.with_values(values)
    operator(key if len(query.values[0]) == len(values[0]) else query, key).values.sum().backward()
    assert values.grad is not None
    return values.grad


def times(points: int, direction: str) -> dict[str, list[float]]:
    """Return each way's times at some points, in seconds; the exact sum's are those of a share of its rows, scaled."""
    names = [name for name in KERNELS if points <= LARGEST_EXACT or name not in EVALUATORS]
    problems = {name: problem(name, points) for name in names}
    ways = {name: partial(run, *arguments, direction) for name, arguments in problems.items()}
    if points <= LARGEST_EXACT:
        measured = interleaved(ways, 1.0)
    else:
        measured = {name: interleaved({name: way}, 1.0, RUNS[name])[name] for name, way in ways.items()}
    scale = {name: points / len(query.values[0]) for name, (_, query, _) in problems.items()}
    return {name: [scale[name] * seconds for seconds in measured[name]] for name in names}


def exponent(rows: list[dict[str, Any]], way: str) -> float:
    """Return the slope of log time over log N from 16384 points on."""
    (n, first), (m, last) = [(row["N"], row[way]) for row in (rows[2], rows[-1])]
    return math.log(last / first) / math.log(m / n)


def plot(tables: Mapping[str, list[dict[str, Any]]]) -> None:
    """Draw times over points."""
    figure, axis = pyplot.subplots(figsize=(8, 4.2), layout="constrained")
    for direction, line in zip(DIRECTIONS, ("-", "--"), strict=True):
        for name, colour in zip(KERNELS, ("C0", "C2", "C3", "C1"), strict=True):
            drawn = [row for row in tables[direction] if name in row]
            axis.loglog(
                [row["N"] for row in drawn],
                [row[name] / 1000 for row in drawn],
                line,
                color=colour,
                marker="o",
                markersize=3,
                label=f"{name}, {direction}",
            )
    axis.set_xlabel("points N")
    axis.set_ylabel("seconds")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(IMAGES / "benchmark_low_rank.svg")


def main() -> None:
    """Measure, and write the page."""
    report = Report(
        "low_rank",
        "Low rank",
        f"One sample of N points in 2-D, d = {DIM}, 4 heads, float32. `low-rank` has rank {RANK} and networks of 64"
        f" hidden units; `skeleton`, the result of `factorize`, has {RANK} pivots and an MLP kernel of 32 hidden units"
        " with all inputs. `exact` is that MLP kernel with the evaluators `tiled` and `native`, measured for"
        f" {ROWS} queries over all N keys and multiplied by N / {ROWS}. Medians of interleaved runs in one process;"
        f" above N = {LARGEST_EXACT}, three runs of `low-rank` and one of `skeleton`, each after a warm-up run. Memory"
        " is the peak in a fresh process.",
    )
    measured = {direction: {points: times(points, direction) for points in SIZES} for direction in DIRECTIONS}
    tables = {
        direction: [
            {"N": points, **{name: 1000 * median(seconds) for name, seconds in ways.items()}}
            for points, ways in by.items()
        ]
        for direction, by in measured.items()
    }
    for direction, rows in tables.items():
        report.add_text(f"## {direction.capitalize()}, milliseconds")
        report.table(direction, {"N": "d", **dict.fromkeys(KERNELS, ",.1f")}, rows)
        slopes = ", ".join(f"{name} {exponent(rows, name):.2f}" for name in LINEAR)
        report.add_text(f"Exponent of N from {SIZES[2]} points on (1 is linear): {slopes}.")
    report.add_text("![Times over points](../images/benchmark_low_rank.svg)")
    report.add_text(f"## Ratio to the exact sum, N = {COMPARED}")
    ratios: list[dict[str, Any]] = []
    for direction in DIRECTIONS:
        ways = measured[direction][COMPARED]
        for name, exact in product(LINEAR, EVALUATORS):
            ratio = Ratio.of(ways[exact], ways[name])
            reached = goal(ratio.median, least=GOAL) if (name, exact) == ("low-rank", "exact, tiled") else ""
            row = {"kernel": name, "than": exact, "direction": direction, "times faster": ratio, "goal": reached}
            ratios.append(row)
    report.table("ratio", dict.fromkeys(ratios[0], ""), ratios)
    report.add_text(f"## Memory above the inputs, N = {REMEMBERED}")
    memory = [
        {"kernel": name, "direction": d, "MB": peak_memory(name, d)}
        for name in ("low-rank", "skeleton")
        for d in DIRECTIONS
    ]
    report.table("memory", {"kernel": "", "direction": "", "MB": ",.0f"}, memory)
    plot(tables)
    report.write()


def memory(name: str, direction: str) -> None:
    """Print the memory of one run, after a small one that sets up what libraries need."""
    run(*problem(name, 64), direction)
    made = problem(name, REMEMBERED)
    print_memory(lambda: run(*made, direction))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        memory(*sys.argv[2:])
    else:
        in_environment(main)
