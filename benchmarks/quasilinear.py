"""The evaluators `sorted` and `chebyshev` compared with KeOps: an additive kernel, interleaved in one process.

Run `python benchmarks/quasilinear.py` (4 minutes; needs `pip install pykeops`); it writes its page. KeOps gets a and b,
the separated first layer, as they are; ours make them too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from measuring import Ratio, Report, goal, in_environment, interleaved, timed
from pykeops.torch import Genred
from torch import Tensor

from itnet_core import Evaluator, Field, MLPKernel, PointTerms, Problem
from itnet_quasilinear import ChebyshevEvaluator, SortedEvaluator
from itnet_quasilinear.additive import Sides, separate, with_constant

HIDDEN, HEADS, HEAD_DIM = 32, 4, 16
POINTS = (16384, 65536)
SHARE = 8
"""KeOps computes the sums at an eighth of the points, and its time is multiplied: each costs the same."""


KEOPS_ACTIVATIONS = {"relu": "ReLU(a+b)", "silu": "((a+b)/(IntCst(1)+Exp(-(a+b))))"}


@dataclass(frozen=True)
class Case:
    """An evaluator, the same sums by KeOps, and the goal for the ratio of their times at 65536 points."""

    name: str
    activation: str
    evaluator: Evaluator
    goal: float


CASES = (
    Case("`sorted`, ReLU", "relu", SortedEvaluator(), 8.0),
    Case("`chebyshev` to 1e-4, SiLU", "silu", ChebyshevEvaluator(tolerance=1e-4), 30.0),
)


def problem_of(case: Case, points: int) -> tuple[MLPKernel, Problem[PointTerms]]:
    """Return a kernel whose a and b have unit deviation, and its integral over scattered points of 64 channels."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"inputs": ("query", "key", "displacement"), "activation": case.activation}
    kernel = MLPKernel(64, heads=HEADS, hidden=HIDDEN, position_dim=2, **options)
    field = Field(torch.randn(1, points, 64), torch.rand(1, points, 2))
    values = torch.randn(1, points, HEADS, HEAD_DIM)
    with torch.no_grad():
        problem = kernel.problem(field, field, values)
        sides = separate(problem)
        kernel.first.weight /= torch.cat([sides.a, sides.b]).std()
    return kernel, problem


def keops(case: Case, sides: Sides, kernel: MLPKernel) -> Callable[[], Tensor]:
    """Return a function that computes the sums by KeOps, from a, b, W_2, b_2 and w v."""
    weights = f"(MatVecMult(w,{KEOPS_ACTIVATIONS[case.activation]})+c)"
    parts = [f"(Elem({weights},{h})*Extract(v,{h * HEAD_DIM},{HEAD_DIM}))" for h in range(HEADS)]
    formula = parts[0]
    for part in parts[1:]:
        formula = f"Concat({formula},{part})"
    sizes = (f"Vi(0,{HIDDEN})", f"Vj(1,{HIDDEN})", f"Pm(2,{HIDDEN * HEADS})", f"Pm(3,{HEADS})")
    aliases = [f"{name}={size}" for name, size in zip("abwc", sizes, strict=True)]
    summed = Genred(formula, [*aliases, f"v=Vj(4,{HEADS * HEAD_DIM})"], reduction_op="Sum", axis=1)
    a, b, weighted = (side[0].detach().contiguous() for side in (sides.a, sides.b, sides.weighted))
    w, c = kernel.second.weight.detach().flatten(), kernel.second.bias.detach()
    return lambda: summed(a, b, w, c, weighted)


@torch.no_grad()
def exact(case: Case, sides: Sides, problem: Problem[PointTerms], rows: Tensor) -> Tensor:
    """Return some rows of the sums in float64, by all pairs."""
    sides = Sides(*(side.detach().double() for side in sides))
    activation = {"relu": torch.relu, "silu": torch.nn.functional.silu}[case.activation]
    parts = torch.stack([activation(sides.a[0, i] + sides.b[0]).T @ sides.weighted[0] for i in rows])
    sums = (parts * sides.second).sum(1).unsqueeze(0)
    return with_constant(sums, sides, replace(problem, values=problem.values.double()))[0]


def gradients(case: Case, kernel: MLPKernel, problem: Problem[PointTerms]) -> None:
    """Compute the sums, and the gradients to the terms, the values and the kernel's parameters."""
    features = problem.key_terms.features.detach().requires_grad_()
    terms, values = problem.key_terms._replace(features=features), problem.values.detach().requires_grad_()
    out = case.evaluator(replace(problem, query_terms=terms, key_terms=terms, values=values))
    torch.autograd.grad(out.sum(), (features, values, *kernel.first.parameters(), *kernel.second.parameters()))


def measure(case: Case, points: int) -> dict[str, Any]:
    """Return the row of the table for a number of points."""
    kernel, problem = problem_of(case, points)

    def ours() -> Tensor:
        with torch.no_grad():
            return case.evaluator(problem)

    with torch.no_grad():
        sides = separate(problem)
    theirs = keops(case, sides._replace(a=sides.a[:, : points // SHARE]), kernel)
    rows = torch.arange(0, points, points // 32)
    expected = exact(case, sides, problem, rows)
    times = interleaved({"KeOps": theirs, "ours": ours}, seconds=10)
    both = [timed(lambda: gradients(case, kernel, problem)) for _ in range(3)]
    ratio = Ratio.of(times["KeOps"], times["ours"], SHARE)
    name = case.name
    if isinstance(case.evaluator, ChebyshevEvaluator):
        with torch.no_grad():
            name += f", {case.evaluator.evaluate_with_report(problem)[1].nodes} nodes"
    row = {
        "evaluator": name,
        "points": points,
        "KeOps, s": SHARE * median(times["KeOps"]),
        "ours, s": median(times["ours"]),
        "times as fast": ratio,
        "goal": goal(ratio.median, least=case.goal) if points == POINTS[-1] else "",
        "forward + backward, ours, s": median(both),
        "error": float((ours()[0, rows] - expected).abs().amax() / expected.abs().amax()),
    }
    print(" | ".join(str(value) for value in row.values()), flush=True)
    return row


def main() -> None:
    """Measure, and write the page."""
    report = Report(
        "quasilinear",
        "Quasi-linear evaluators",
        f"Float32, one sample, hidden {HIDDEN}, {HEADS} heads of {HEAD_DIM}, a and b of unit deviation. KeOps 2.3,"
        " compiled for this processor, is given a and b. Our times include computing a and b from the kernel's terms;"
        " those of `chebyshev` also include choosing the number of nodes and checking 8 rows. KeOps computes the sums"
        f" at 1/{SHARE} of the points, and its time is multiplied by {SHARE}. Medians of interleaved rounds; ratios are"
        " medians and quartiles. The error is that of 32 rows, compared with the sum over all pairs in float64,"
        " relative to the largest number.",
    )
    rows, growth = [], []
    for case in CASES:
        measured = [measure(case, points) for points in POINTS]
        rows += measured
        grown = measured[1]["ours, s"] / measured[0]["ours, s"]
        growth.append(f"{case.name} {grown:.2f} ({goal(grown, most=5)})")
    columns = {"evaluator": "", "points": "d", "KeOps, s": ".2f", "ours, s": ".3f", "times as fast": "", "goal": ""}
    report.table("evaluators", columns | {"forward + backward, ours, s": ".3f", "error": ".1e"}, rows)
    report.add_text(f"Growth of our forward time from {POINTS[0]} to {POINTS[1]} points: {'; '.join(growth)}.")
    report.write()


if __name__ == "__main__":
    in_environment(main)
