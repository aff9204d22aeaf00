"""The evaluators beside what a user would write: time in one process, interleaved; memory in fresh processes.

Run `python benchmarks/evaluators.py` (10 minutes; 12 GB of memory); it writes `benchmarks/evaluators.md`. KeOps takes
part where it is installed (`pip install pykeops`), with the flags for this processor and a cache folder of its own.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import torch
from provenance import provenance
from torch import Tensor

from itnet_core import Evaluator, Field, MLPKernel
from itnet_core.evaluate import TiledEvaluator
from itnet_core.kernel import Points
from itnet_core.testing.reference import concatenated_mlp
from itnet_native.evaluator import NativeEvaluator

HERE = Path(__file__).parent
DIM, HEADS, HIDDEN = 64, 4, 32
ADDITIVE = ("query", "key", "displacement")
# Without the first two the allocator gives memory back between operations, and identical runs differ several times.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "CXXFLAGS": "-O3 -march=native -ffast-math",
    "KEOPS_CACHE_FOLDER": str(Path(tempfile.gettempdir()) / "itnet-benchmarks-keops"),
}


@dataclass(frozen=True, eq=False)
class Problem:
    """One sample of points in the plane, a kernel, and what is integrated.

    Attributes:
        field: (1, N, 64); gradients reach its values.
        values: (1, N, heads, head_dim); they reach these too, and the kernel's parameters.
    """

    kernel: MLPKernel
    field: Field
    values: Tensor

    def leaves(self) -> list[Tensor]:
        """Return what gradients are taken to, besides timing forward alone."""
        used = {"first.weight", "first.bias", "second.weight", "second.bias", "content.weight"}
        return [self.field.values, self.values, *(p for n, p in self.kernel.named_parameters() if n in used)]

    def points(self) -> tuple[Points, Points]:
        """Return both sides of the pairs."""
        query, key = self.kernel.project(self.field, self.field)
        first, second = (Points(terms, self.field.positions, self.field.weights) for terms in (query, key))
        return first, second


def problem(points: int, inputs: tuple[str, ...] | None, activation: str = "relu") -> Problem:
    """Return a problem with some of the kernel's inputs, or all of them."""
    torch.manual_seed(0)
    options = {} if inputs is None else {"inputs": inputs}
    kernel = MLPKernel(DIM, position_dim=2, heads=HEADS, hidden=HIDDEN, activation=activation, **options)
    field = Field(torch.randn(1, points, DIM).requires_grad_(), 2 * torch.rand(1, points, 2) - 1)
    return Problem(kernel, field, torch.randn(1, points, HEADS, DIM // HEADS).requires_grad_())


def by(evaluator: Evaluator) -> Callable[[Problem], Tensor]:
    """Return how an evaluator computes a problem."""
    return lambda given: evaluator(given.kernel, *given.points(), given.values)


def concatenated(given: Problem) -> Tensor:
    """Return the sums as the definition stands: the MLP over the concatenated inputs of all pairs."""
    k = concatenated_mlp(given.kernel, given.field, given.field) * given.field.weights[:, None, None, :]
    return (k @ given.values.transpose(1, 2)).transpose(1, 2)


def keops(given: Problem) -> Tensor:
    """Return the sums of an additive ReLU kernel by KeOps, from the same separated first layer."""
    from pykeops.torch import Genred

    kernel, (query, key) = given.kernel, given.points()
    forms = kernel.inputs(kernel.first.weight, kernel.first.bias)
    a, b = query.terms[0] @ forms[:, :, 0], key.terms[0, :, 1:] @ forms[0, :, 1:].T
    width = DIM // HEADS
    heads = [f"Elem(MatVecMult(W,ReLU(a+b))+c,{h})*Extract(v,{h * width},{width})" for h in range(HEADS)]
    pairs = [f"Concat({one},{other})" for one, other in zip(heads[::2], heads[1::2], strict=True)]
    formula = functools.reduce(lambda one, other: f"Concat({one},{other})", pairs)
    arguments = [f"a=Vi({HIDDEN})", f"b=Vj({HIDDEN})", f"W=Pm({HIDDEN * HEADS})", f"c=Pm({HEADS})", f"v=Vj({DIM})"]
    weighted = (given.values * given.field.weights[..., None, None])[0].flatten(1)
    sums = Genred(formula, arguments, reduction_op="Sum", axis=1)
    found: Tensor = sums(a, b, kernel.second.weight.flatten(), kernel.second.bias, weighted, backend="CPU")
    return found.view(1, -1, HEADS, width)


WAYS: dict[str, Callable[[Problem], Tensor]] = {
    "native": by(NativeEvaluator()),
    "tiled": by(TiledEvaluator()),
    "KeOps": keops,
    "concatenated": concatenated,
}


@dataclass(frozen=True)
class Row:
    """A pair of ways to the same numbers, and the ratio of their times that is to be reached.

    Attributes:
        name: what is computed.
        inputs: of the kernel; `None` for all.
        backward: whether gradients are computed too.
        peer: the other way.
        goal: their time over ours, at least.
        scaled: where the peer does not fit, it is measured at N / 2 and its time multiplied by 4.
    """

    name: str
    inputs: tuple[str, ...] | None
    backward: bool
    peer: str
    goal: float | None = None
    scaled: bool = False


ROWS = (
    Row("additive, forward", ADDITIVE, False, "KeOps", 1.5),
    Row("additive, forward + backward", ADDITIVE, True, "KeOps", 8),
    Row("additive, forward", ADDITIVE, False, "tiled"),
    Row("additive, forward + backward", ADDITIVE, True, "tiled"),
    Row("additive, forward", ADDITIVE, False, "concatenated", 40, scaled=True),
    Row("additive, forward + backward", ADDITIVE, True, "concatenated", 25, scaled=True),
    Row("all inputs, forward", None, False, "tiled"),
    Row("all inputs, forward + backward", None, True, "tiled"),
    Row("all inputs, forward", None, False, "concatenated", 6, scaled=True),
    Row("all inputs, forward + backward", None, True, "concatenated", 6, scaled=True),
)
MEMORY = (
    ("additive", ADDITIVE, 4096, 100.0),
    ("all inputs", None, 16384, 200.0),
)
"""What is computed, forward and backward, at how many points, and how many MB it may take."""


def run(way: str, given: Problem, backward: bool) -> float:
    """Return how long one run takes, in seconds."""
    start = time.perf_counter()
    if backward:
        torch.autograd.grad(WAYS[way](given).sum(), given.leaves())
    else:
        with torch.no_grad():
            WAYS[way](given)
    return time.perf_counter() - start


def matrix_rate() -> float:
    """Return the operations a second of a product of 2048² matrices, the best of three."""
    matrix = torch.randn(2048, 2048)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(seconds)


def operations(given: Problem, backward: bool) -> float:
    """Return the operations that a problem needs.

    Those of a pair are 2 · hidden · (R + heads) + 2 · d forward, with R point features, or 1 sum in the place of 2 · R
    products for an additive kernel; and twice as many backward, without what is computed again.
    """
    first = 2 * given.kernel.inputs.width if {"product", "distance", "fourier"} & {*given.kernel.config.inputs} else 1
    pair = HIDDEN * first + 2 * HIDDEN * HEADS + 2 * DIM
    return given.field.values.shape[1] ** 2 * pair * (3.0 if backward else 1.0)


def measured(row: Row, points: int = 4096, seconds: float = 20.0) -> str:
    """Return a line of the table."""
    ours, theirs = problem(points, row.inputs), problem(points // 2 if row.scaled else points, row.inputs)
    scale = 4.0 if row.scaled else 1.0
    run("native", ours, row.backward)
    run(row.peer, theirs, row.backward)
    rounds: list[tuple[float, float, float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < 5 or time.perf_counter() < end:
        rate = matrix_rate()
        order = ("native", row.peer) if len(rounds) % 2 else (row.peer, "native")  # neither is always the first
        found = {way: run(way, ours if way == "native" else theirs, row.backward) for way in order}
        rounds.append((found["native"], scale * found[row.peer], operations(ours, row.backward) / found["native"] / rate))
    ratios = [peer / own for own, peer, _ in rounds]
    own, peer, share = (median(each) for each in zip(*rounds, strict=True))
    low, _, high = quantiles(ratios, n=4)
    missed = "" if row.goal is None or median(ratios) >= row.goal else " (missed)"
    goal = "" if row.goal is None else f"≥ {row.goal:g}{missed}"
    name = f"{row.peer}{', N = 2048, × 4' if row.scaled else ''}"
    return (
        f"| {row.name} | {1e3 * own:.0f} | {share:.0%} | {name} | {1e3 * peer:.0f} |"
        f" {median(ratios):.1f} ({low:.1f} to {high:.1f}, {len(ratios)} rounds) | {goal} |"
    )


def megabytes(kind: str, points: int) -> float:
    """Return the peak memory of one run above the inputs, in MB, measured in a fresh process."""
    command = [sys.executable, __file__, "--memory", kind, str(points)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["megabytes"])


def print_memory(kind: str, points: int) -> None:
    """Print the peak above what stood after a small warm-up run and the inputs."""
    inputs = ADDITIVE if kind == "additive" else None
    run("native", problem(128, inputs), True)  # what libraries set up on first use is not the evaluator's
    given = problem(points, inputs)
    before = _status("VmRSS")
    run("native", given, True)
    print(json.dumps({"megabytes": _status("VmHWM") - before}))


def _status(field: str) -> float:
    """Return a line of this process's memory in MB; `getrusage` would give the parent's peak where that is higher."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def main() -> None:
    """Measure, and write the tables."""
    rows = []
    for row in ROWS:
        try:
            rows.append(measured(row))
        except ModuleNotFoundError as error:
            rows.append(f"| {row.name} | | | {row.peer} | | {error.name} is not installed | |")
        print(rows[-1], flush=True)
    memory = []
    for kind, _, points, allowed in MEMORY:
        found = megabytes(kind, points)
        memory.append(f"| {kind} | {points} | {found:.0f} | ≤ {allowed:.0f}{'' if found <= allowed else ' (missed)'} |")
        print(memory[-1], flush=True)
    lines = [
        "# Evaluators beside what a user would write",
        "",
        f"`python benchmarks/evaluators.py` on {provenance()}. One sample of N = 4096 points in 2-D, d = {DIM}, {HEADS}"
        f" heads, hidden {HIDDEN}, ReLU, float32. Each pair runs interleaved in one process, from the field to the sums;"
        " medians of the rounds in ms, of the rounds' ratios the median and the quartiles. The share is of the rate of a"
        " 2048² matrix product measured in each round, with the operations that the definition needs (backward twice the"
        " forward's; what is computed again does not count).",
        "",
        "| case | native | share of the matrix rate | peer | its time | times as fast | goal |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        "Peak memory above the inputs, forward + backward, in a fresh process:",
        "",
        "| case | N | MB | goal |",
        "|---|---|---|---|",
        *memory,
    ]
    (HERE / "evaluators.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        print_memory(sys.argv[2], int(sys.argv[3]))
    elif any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        Path(ENVIRONMENT["KEOPS_CACHE_FOLDER"]).mkdir(parents=True, exist_ok=True)
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ENVIRONMENT)
    else:
        main()
