"""Local supports: windows on grids and radii in space, compared with all pairs, convolutions and other libraries.

Run `python benchmarks/local.py` (8 minutes; 8 GB of memory); it writes its page. PyG takes part where it is installed:
`pip install torch_geometric`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from local_ways import BATCH, DIM, HEADS, HIDDEN, NEIGHBOURS, WINDOW, Setup, check, run
from measuring import Ratio, Report, goal, in_environment, interleaved, peak_memory, print_memory
from torch import Tensor, nn

from itnet_core import Field, IntegralOperator, MLPKernel, neighbourhoods

SIDES = (28, 56)
EXACT = 16384
SIZES = (4096, 16384, 65536, 262144, 1048576)
REMEMBERED = (16384, 262144)
DIRECTIONS = ("forward", "forward + backward")
OURS = ("native", "local", "all pairs")
OTHERS = ("F.unfold", "PyG message passing", "FlexAttention, block mask", "conv2d 3 × 3", "depthwise conv2d 5 × 5")


def windows(side: int, direction: str) -> list[dict[str, Any]]:
    """Return the table's rows for a grid."""
    setup = Setup.window(side)
    ways: dict[str, Callable[[], object]] = {}
    rows: list[dict[str, Any]] = []
    about = {"points": f"{side} × {side}", "pass": direction}
    for way in (*OURS, *OTHERS):
        try:
            run(way, setup, direction)
            ways[way] = partial(run, way, setup, direction)
        except Exception as error:  # a compiler that is missing, or a direction that a peer lacks
            reason = str(error).strip().split(". ")[0].splitlines()[0] if str(error).strip() else type(error).__name__
            rows.append(about | {"way": way, "goal": f"skipped: {reason}"})
    check(setup, *(way for way in ("native", "all pairs", "F.unfold", "PyG message passing") if way in ways))
    times = interleaved(ways, 5.0, 5)
    done = []
    for way in ways:
        speed = Ratio.of(times[way], times["native"])
        row = about | {"way": way, "ms": 1e3 * median(times[way]), "native is faster by": speed}
        if direction != "forward" and way == "all pairs":
            row["goal"] = goal(speed.median, least=5)
        if direction != "forward" and way.startswith("conv2d"):
            row["goal"] = goal(speed.median, least=0.25)
        done.append(row)
    return done + rows


def displacements(width: int) -> list[dict[str, Any]]:
    """Return the table's rows for a kernel of the displacement alone, with full values: one convolution, or nine."""
    torch.manual_seed(0)
    kernel = MLPKernel(
        width,
        position_dim=2,
        heads=9,
        inputs=("displacement", "distance", "fourier"),
        values="full",
        support={"window": WINDOW / SIDES[0]},
    )
    operator = IntegralOperator(width, kernel, pointwise=False)
    field = Field.on_grid(torch.randn(BATCH, SIDES[0], SIDES[0], width))
    image = field.values.transpose(1, 2).reshape(BATCH, width, SIDES[0], SIDES[0])
    peer = nn.Conv2d(width, width, WINDOW, padding=WINDOW // 2)

    def depthwise(values: Tensor) -> Tensor:
        problem = kernel.problem(field, field, operator.value(values))
        out: Tensor = operator.output(kernel.integrate(problem))
        return out

    def dense(values: Tensor) -> Tensor:
        given = field.with_values(values)
        return kernel.transform(given, given, operator.value, operator.output)

    chosen = "dense" if kernel.can_transform(field, field) else "depthwise"
    torch.testing.assert_close(dense(field.values), depthwise(field.values), rtol=1e-3, atol=1e-4)

    def step(function: Callable[[Tensor], Tensor], tensor: Tensor) -> None:
        tensor = tensor.detach().requires_grad_()
        leaves = [tensor, *operator.parameters(), *peer.parameters()]
        torch.autograd.grad(function(tensor).sum(), leaves, allow_unused=True)

    ways = {"dense": partial(step, dense, field.values), "depthwise": partial(step, depthwise, field.values)}
    ways[f"conv2d {WINDOW} × {WINDOW}"] = partial(step, peer, image)
    times = interleaved(ways, 3.0)
    return [{"d": width, **{f"{way}, ms": 1e3 * median(seconds) for way, seconds in times.items()}, "chosen": chosen}]


def balls(points: int) -> list[dict[str, Any]]:
    """Return the table's rows for points in a cube: all ways up to 16,384 points, `native` beyond."""
    setup = Setup.ball(points)
    rows = []
    for direction in DIRECTIONS:
        names = [name for name in OURS if points <= EXACT or name == "native"]
        ways = {name: partial(run, name, setup, direction) for name in names}
        few = points >= 262144
        times = interleaved(ways, 0.0, 1 if few else 3)
        row: dict[str, Any] = {"N": points, "pass": direction}
        row |= {f"{name}, ms": 1e3 * median(seconds) for name, seconds in times.items()}
        row["µs a point"] = 1e6 * median(times["native"]) / points
        if "all pairs" in times:
            speed = Ratio.of(times["all pairs"], times["native"])
            row["faster than all pairs by"] = speed
            row["goal"] = goal(speed.median, least=20) if points == EXACT and direction != "forward" else ""
        rows.append(row)
        print(row, flush=True)
    return rows


def searches() -> list[dict[str, Any]]:
    """Return how long the search for near keys takes, once for all blocks of a trunk."""
    rows = []
    for name, setups in (("window", [Setup.window(side) for side in SIDES]), ("radius", map(Setup.ball, SIZES[:3]))):
        for setup in setups:
            operator, field = setup.operator, setup.field

            def search(operator: IntegralOperator = operator, field: Field = field) -> int:
                fresh = Field(field.values, field.positions, field.weights, field.grid)
                problem = operator.kernel.problem(fresh, fresh, operator.value(fresh.values))
                return neighbourhoods(problem).pairs

            seconds = median(interleaved({"search": search}, 0.5, 3)["search"])
            batch, points = field.weights.shape
            near = search() / (batch * points)
            rows.append({"support": name, "samples": batch, "N": points, "ms": 1e3 * seconds, "keys a query": near})
    return rows


def memory() -> list[dict[str, Any]]:
    """Return the peaks of forward and backward pass, in fresh processes."""
    rows = []
    for way, kind, size in (
        *((way, "window", 56) for way in (*OURS, "F.unfold", "PyG message passing", "conv2d 3 × 3")),
        *((way, "ball", size) for size in REMEMBERED for way in ("native", "local")),
    ):
        row: dict[str, Any] = {"way": way, "points": f"{BATCH} × {size} × {size}" if kind == "window" else f"{size}"}
        try:
            rows.append(row | {"MB": peak_memory(way, kind, str(size))})
        except Exception as error:
            rows.append(row | {"note": f"skipped: {type(error).__name__}"})
    return rows


def main() -> None:
    """Measure, and write the page."""
    report = Report(
        "local",
        "Local supports",
        f"An operator of width {DIM} with the MLP kernel, {HEADS} heads, hidden {HIDDEN}, all inputs, float32,"
        f" including its maps of values and outputs. The support is a window of {WINDOW} × {WINDOW} points on grids,"
        f" batch {BATCH}, or a radius of about {NEIGHBOURS} neighbours among random points in a cube. `all pairs` is"
        " `native` without groups of near queries: it computes nearly all pairs and leaves out those outside of the"
        " support. Medians of interleaved runs in one process. The near keys are found once and cached with the points,"
        " as in a trunk; the search is timed separately. Attention and convolutions have equal width, but compute"
        " something else.",
    )
    rows = [row for side in SIDES for direction in DIRECTIONS for row in windows(side, direction)]
    report.table(
        "windows", {"points": "", "pass": "", "way": "", "ms": ",.1f", "native is faster by": "", "goal": ""}, rows
    )
    for row in rows:
        print(row, flush=True)
    report.add_text(
        "A kernel of the displacement alone, with nine heads of full values, is a convolution on a grid of 28 × 28: a"
        " dense one with the matrices Σ_h M_h k_h, or a depthwise one for each head before the maps M_h. Forward and"
        " backward:"
    )
    rows = [row for width in (32, 64, 128, 256) for row in displacements(width)]
    report.table("displacement", {name: ",.1f" if name.endswith("ms") else "" for name in rows[0]}, rows)
    report.add_text(f"A radius of about {NEIGHBOURS} neighbours in three dimensions, one sample of N points:")
    columns = {"N": "d", "pass": "", **{f"{name}, ms": ",.0f" for name in OURS}, "µs a point": ".1f"}
    report.table(
        "radius",
        columns | {"faster than all pairs by": "", "goal": ""},
        [row for points in SIZES for row in balls(points)],
    )
    report.add_text("Time of the search for near keys, and number of keys in a query's group:")
    report.table("search", {"support": "", "samples": "d", "N": "d", "ms": ",.1f", "keys a query": ".0f"}, searches())
    report.add_text("Peak memory above the inputs, forward and backward, in a fresh process:")
    report.table("memory", {"way": "", "points": "", "MB": ",.0f", "note": ""}, memory())
    report.write()


def remember(way: str, kind: str, size: str) -> None:
    """Print the peak memory of a way, above what libraries set up on first use."""
    make: Callable[[int], Setup] = Setup.window if kind == "window" else Setup.ball
    run(way, make(8 if kind == "window" else 128), DIRECTIONS[1])
    setup = make(int(size))
    print_memory(partial(run, way, setup, DIRECTIONS[1]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        remember(*sys.argv[2:])
    else:
        in_environment(main)
