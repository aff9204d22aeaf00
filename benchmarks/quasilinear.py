"""The evaluators `sorted` and `chebyshev` beside KeOps: an additive kernel, each pair in one process, interleaved.

Run `python benchmarks/quasilinear.py [POINTS ...]` (15 minutes; needs `pip install pykeops`); without numbers of points
it writes `benchmarks/quasilinear.md`. KeOps gets a and b, the separated first layer, as they are; ours make them too.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from provenance import provenance
from pykeops.torch import Genred
from torch import Tensor

from itnet_core import Evaluator, Field, MLPKernel
from itnet_core.kernel import Points
from itnet_quasilinear import ChebyshevEvaluator, SortedEvaluator
from itnet_quasilinear.additive import Sides, constant_part, separate

HERE = Path(__file__).parent
HIDDEN, HEADS, HEAD_DIM = 32, 4, 16
POINTS = (16384, 65536)

# For all alike: memory is not handed back between runs, and threads that wait do not take others' cores. KeOps compiles
# for this machine, in a folder of its own. All is read when a process starts.
SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "OMP_WAIT_POLICY": "PASSIVE",
    "CXXFLAGS": "-march=native -ffast-math",
    "KEOPS_CACHE_FOLDER": str(Path(tempfile.gettempdir()) / "keops-native"),
}
KEOPS_ACTIVATIONS = {"relu": "ReLU(a+b)", "silu": "((a+b)/(IntCst(1)+Exp(-(a+b))))"}


@dataclass(frozen=True)
class Case:
    """An evaluator, what KeOps computes beside it, and how many times as fast it is to be at 65536 points."""

    name: str
    activation: str
    evaluator: Evaluator
    goal: float


CASES = (
    Case("`sorted`, ReLU", "relu", SortedEvaluator(), 8.0),
    Case("`chebyshev` to 1e-4, SiLU", "silu", ChebyshevEvaluator(tolerance=1e-4), 30.0),
)


def problem(case: Case, points: int) -> tuple[MLPKernel, Points, Tensor]:
    """Return a kernel whose a and b have unit deviation, and scattered points of a field of 64 channels."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"inputs": ("query", "key", "displacement"), "activation": case.activation}
    kernel = MLPKernel(64, heads=HEADS, hidden=HIDDEN, position_dim=2, **options)
    field = Field(torch.randn(1, points, 64), torch.rand(1, points, 2))
    values = torch.randn(1, points, HEADS, HEAD_DIM)
    with torch.no_grad():
        terms, _ = kernel.project(field, field)
        side = Points(terms, field.positions, field.weights)
        sides = separate(kernel, side, side, values)
        kernel.first.weight /= torch.cat([sides.a, sides.b]).std()
    return kernel, side, values


def keops(case: Case, sides: Sides, kernel: MLPKernel, values: Tensor) -> Callable[[], Tensor]:
    """Return what computes the sums by KeOps, from a, b, W_2, b_2 and w v."""
    weights = f"(MatVecMult(w,{KEOPS_ACTIVATIONS[case.activation]})+c)"
    parts = [f"(Elem({weights},{h})*Extract(v,{h * HEAD_DIM},{HEAD_DIM}))" for h in range(HEADS)]
    formula = parts[0]
    for part in parts[1:]:
        formula = f"Concat({formula},{part})"
    sizes = (f"Vi(0,{HIDDEN})", f"Vj(1,{HIDDEN})", f"Pm(2,{HIDDEN * HEADS})", f"Pm(3,{HEADS})")
    aliases = [f"{name}={size}" for name, size in zip("abwc", sizes, strict=True)]
    summed = Genred(formula, [*aliases, f"v=Vj(4,{HEADS * HEAD_DIM})"], reduction_op="Sum", axis=1)
    a, b, weighted = (each[0].detach().contiguous() for each in (sides.a, sides.b, sides.weighted))
    w, c = kernel.second.weight.detach().flatten(), kernel.second.bias.detach()
    return lambda: summed(a, b, w, c, weighted).view(values.shape)


@torch.no_grad()
def exact(case: Case, sides: Sides, kernel: MLPKernel, values: Tensor, rows: Tensor) -> Tensor:
    """Return some rows of the sums in float64, by all pairs."""
    sides = Sides(*(each.detach().double() for each in sides))
    activation = {"relu": torch.relu, "silu": torch.nn.functional.silu}[case.activation]
    found = torch.stack([activation(sides.a[0, i] + sides.b[0]).T @ sides.weighted[0] for i in rows])
    found = (found * sides.second).sum(1).view(len(rows), HEADS, HEAD_DIM)
    return found + constant_part(kernel, sides, values.double())[0]


def timed(run: Callable[[], object]) -> float:
    """Return how long one run takes, in seconds."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def gradients(case: Case, kernel: MLPKernel, side: Points, values: Tensor) -> None:
    """Compute the sums, and the gradients to the terms, the values and the kernel's parameters."""
    terms, values = side.terms.detach().requires_grad_(), values.detach().requires_grad_()
    points = side._replace(terms=terms)
    out = case.evaluator(kernel, points, points, values)
    torch.autograd.grad(out.sum(), (terms, values, *kernel.first.parameters(), *kernel.second.parameters()))


def measure(case: Case, points: int) -> tuple[str, float]:
    """Return the row of the table for a number of points, and the median of our forward time in seconds."""
    kernel, side, values = problem(case, points)

    def ours() -> Tensor:
        with torch.no_grad():
            return case.evaluator(kernel, side, side, values)

    with torch.no_grad():
        sides = separate(kernel, side, side, values)
    theirs = keops(case, sides, kernel, values)
    rows = torch.arange(0, points, points // 32)
    expected = exact(case, sides, kernel, values, rows)
    small = keops(case, Sides(*(s[:, :64] if s.ndim == 3 else s for s in sides)), kernel, values[:, :64])
    timed(small), timed(ours)  # what the first call costs: compiling
    rounds = [(timed(theirs), timed(ours)) for _ in range(5 if points < 30000 else 3)]
    both = [timed(lambda: gradients(case, kernel, side, values)) for _ in range(3)]
    error = float((ours()[0, rows] - expected).abs().amax() / expected.abs().amax())
    ratios = sorted(a / b for a, b in rounds)
    their, our = (median(column) for column in zip(*rounds, strict=True))
    report = case.evaluator.report if isinstance(case.evaluator, ChebyshevEvaluator) else None
    nodes = f", {report.nodes} nodes" if report else ""
    goal = f"≥ {case.goal:g}{'' if median(ratios) >= case.goal else ' (missed)'}" if points == POINTS[-1] else ""
    row = (
        f"| {case.name}{nodes} | {points} | {their:.2f} | {our:.3f} | {median(ratios):.0f} ({ratios[0]:.0f} to"
        f" {ratios[-1]:.0f}) | {goal} | {median(both):.3f} | {error:.1e} |"
    )
    print(row, flush=True)
    return row, our


def main(numbers: list[int]) -> None:
    """Measure, and write the table."""
    rows, growth = [], []
    for case in CASES:
        found = [measure(case, points) for points in numbers or POINTS]
        rows += [row for row, _ in found]
        growth.append(f"{case.name}: {found[-1][1] / found[0][1]:.2f}")
        print(growth[-1], flush=True)
    lines = [
        "# Additive kernels in nearly linear time",
        "",
        f"`python benchmarks/quasilinear.py` on {provenance()}, float32. One sample,"
        f" hidden {HIDDEN}, {HEADS} heads of {HEAD_DIM}, a and b of unit deviation. KeOps 2.3 with"
        f" `CXXFLAGS={SETTINGS['CXXFLAGS']!r}` gets a and b; ours make them from the kernel's terms, and"
        " `chebyshev` its number of nodes and its check of 8 rows. Seconds, medians of interleaved rounds; speed is"
        " KeOps / ours, the median and the extremes of the rounds. The error is that of 32 rows against all pairs in"
        " float64, relative to the largest number.",
        "",
        "| evaluator | points | KeOps | ours | speed | goal | forward + backward, ours | error |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"Growth of our forward time from {POINTS[0]} to {POINTS[1]} points, to be below 5: {'; '.join(growth)}.",
    ]
    if not numbers:
        (HERE / "quasilinear.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if any(name not in os.environ for name in SETTINGS):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**SETTINGS, **os.environ})
    main([int(each) for each in sys.argv[1:]])
