"""The evaluators compared with other implementations: time interleaved in one process, memory in fresh processes.

Run `python benchmarks/evaluators.py` (7 minutes; 6 GB of memory); it writes its page. Peers take part where they are
installed: `pip install pykeops torch_geometric neuraloperator`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import peers
import torch
from machine import Rates, operations
from measuring import Ratio, Report, bars, goal, in_environment, interleaved, peak_memory, print_memory
from peers import Setup

from itnet_core import DenseEvaluator, TiledEvaluator
from itnet_native.evaluator import NativeEvaluator

ADDITIVE = ("query", "key", "displacement")
POINTS = 4096
WAYS = {
    "native": peers.by(NativeEvaluator()),
    "tiled": peers.by(TiledEvaluator()),
    "dense": peers.by(DenseEvaluator()),
    "KeOps": peers.keops,
    "concatenated": peers.concatenated,
    "concatenated, `torch.compile`": peers.compiled,
    "row chunks, checkpointed": peers.checkpointed,
    "PyG message passing": peers.message_passing,
    "neuraloperator (no u(x))": peers.integral_transform,
    "SDPA, as many operations": peers.attention,
}


@dataclass(frozen=True)
class Peer:
    """Another way, and how many times as fast `native` is to be.

    Attributes:
        way: of `WAYS`.
        points: how many it computes; where all do not fit, its time is multiplied as the pairs are more.
        forward: the goal of the forward pass.
        both: the goal of forward and backward pass.
    """

    way: str
    points: int = POINTS
    forward: float | None = None
    both: float | None = None

    @property
    def scale(self) -> float:
        """Factor of its time, for `POINTS` points."""
        return (POINTS / self.points) ** 2


@dataclass(frozen=True)
class Case:
    """A kernel, and the peers that it is compared with.

    Attributes:
        name: what is computed.
        options: of the kernel.
        quick: peers that run at all points, in many rounds with `native`.
        slow: peers for three rounds with it.
        forward: the share of the matrix rate that `native` is to reach.
        both: likewise, forward and backward.
    """

    name: str
    options: dict[str, Any]
    quick: tuple[Peer, ...]
    slow: tuple[Peer, ...] = ()
    forward: float | None = None
    both: float | None = None


CASES = (
    Case(
        "additive, ReLU",
        {"inputs": ADDITIVE},
        (Peer("tiled"), Peer("KeOps", POINTS, 1.5, 8)),
        (
            Peer("concatenated", 2048, 40, 25),
            Peer("concatenated, `torch.compile`", 2048),
            Peer("row chunks, checkpointed", 2048),
            Peer("PyG message passing", 1024),
            Peer("neuraloperator (no u(x))", 512),
        ),
    ),
    Case(
        "all inputs, ReLU",
        {},
        (Peer("tiled"),),
        (
            Peer("concatenated", 2048, 6, 6),
            Peer("concatenated, `torch.compile`", 2048),
            Peer("row chunks, checkpointed", 2048),
            Peer("KeOps", 1024),
            Peer("PyG message passing", 512),
        ),
        0.5,
        0.35,
    ),
    Case("additive, SiLU", {"inputs": ADDITIVE, "activation": "silu"}, (Peer("tiled"),)),
    Case(
        "additive, softmax",
        {"inputs": ADDITIVE, "normalization": "softmax"},
        (Peer("tiled"), Peer("SDPA, as many operations")),
    ),
)
MEMORY = (
    ("native", 0, 4096, 100.0),
    ("tiled", 0, 4096, None),
    ("KeOps", 0, 4096, None),
    ("concatenated", 0, 2048, None),
    ("native", 1, 16384, 200.0),
    ("tiled", 1, 4096, None),
    ("concatenated", 1, 2048, None),
)
"""The evaluator, the number of the case, the points, and the limit in MB for forward and backward."""
FEW = ((1, 64), (1, 128), (1, 256), (64, 8), (64, 16), (64, 32), (64, 64))
"""Samples, and few points of each."""
COLUMNS = {
    "kernel": "",
    "pass": "",
    "evaluator": "",
    "N": "d",
    "ms": ".1f",
    "share of the bound": ".0%",
    "native is faster by": "",
    "goal": "",
}


def run(way: str, setup: Setup, backward: bool) -> None:
    """Compute a problem, with gradients or without."""
    if backward:
        torch.autograd.grad(WAYS[way](setup).sum(), setup.leaves(), allow_unused=True)
    else:
        with torch.no_grad():
            WAYS[way](setup)


def measure(case: Case, backward: bool, rates: Rates) -> list[dict[str, Any]]:
    """Return the table's rows for a case; a peer that is not installed has a row that says so."""
    setup, matrix = Setup.of(POINTS, **case.options), torch.randn(2048, 2048)
    native = partial(run, "native", setup, backward)
    about = {"kernel": case.name, "pass": "forward + backward" if backward else "forward"}
    bound = rates.bound(setup, backward)
    rows: list[dict[str, Any]] = []
    for peers_then, least, seconds in ((case.quick, 5, 6.0), (case.slow, 3, 0.0)):
        ways: dict[str, Callable[[], object]] = {"native": native, "matrix": lambda: torch.mm(matrix, matrix)}
        installed = [peer for peer in peers_then if _installed(peer, case, rows, about)]
        for peer in installed:
            ways[peer.way] = partial(run, peer.way, Setup.of(peer.points, **case.options), backward)
        if not installed:
            continue
        times = interleaved(ways, seconds, least)
        if peers_then is case.quick:
            share = Ratio.of(times["matrix"], times["native"], operations(setup, backward) / (2 * 2048**3))
            least_share = case.both if backward else case.forward
            text = (
                ""
                if least_share is None
                else f"{share.median:.0%} of the matrix rate, {goal(share.median, least=least_share)}"
            )
            rows.insert(
                0,
                about | _row("native", POINTS, median(times["native"]), bound) | {"goal": text, "matrix share": share},
            )
        for peer in installed:
            speed = Ratio.of(times[peer.way], times["native"], peer.scale)
            text = goal(speed.median, least=peer.both if backward else peer.forward)
            row = _row(peer.way, peer.points, peer.scale * median(times[peer.way]), bound)
            rows.append(about | row | {"native is faster by": speed, "goal": text})
    return rows


def _row(way: str, points: int, seconds: float, bound: float) -> dict[str, Any]:
    share = bound / seconds if points == POINTS and not way.startswith("SDPA") else None
    return {"evaluator": way, "N": points, "ms": 1e3 * seconds, "share of the bound": share}


def _installed(peer: Peer, case: Case, rows: list[dict[str, Any]], about: dict[str, str]) -> bool:
    try:
        run(peer.way, Setup.of(64, **case.options), False)
    except ModuleNotFoundError as error:
        rows.append(about | {"evaluator": peer.way, "goal": f"skipped: {error.name} is not installed"})
        return False
    return True


def few_points() -> list[dict[str, Any]]:
    """Return the ratio of the times of `dense` and `native` for few points."""
    rows = []
    for case in CASES[:2]:
        for samples, points in FEW:
            setup = Setup.of(points, samples, **case.options)
            row: dict[str, Any] = {"kernel": case.name, "samples": samples, "N": points}
            for backward, name in ((False, "forward"), (True, "forward + backward")):
                times = interleaved({w: partial(run, w, setup, backward) for w in ("native", "dense")}, 0.3, 20)
                row[name] = Ratio.of(times["dense"], times["native"])
            rows.append(row)
    return rows


def memory() -> list[dict[str, Any]]:
    """Return the peaks of forward and backward pass, in fresh processes."""
    rows = []
    for way, number, points, most in MEMORY:
        row: dict[str, Any] = {"kernel": CASES[number].name, "evaluator": way, "N": points}
        try:
            run(way, Setup.of(64, **CASES[number].options), False)
        except ModuleNotFoundError as error:
            rows.append(row | {"goal": f"skipped: {error.name} is not installed"})
            continue
        memory = peak_memory(way, str(number), str(points))
        rows.append(row | {"MB": memory, "goal": goal(memory, most=most)})
    return rows


def report(rates: Rates, rows: list[dict[str, Any]], few: list[dict[str, Any]], peaks: list[dict[str, Any]]) -> None:
    """Write the page."""
    page = Report(
        "evaluators",
        "Evaluators",
        f"One sample of {POINTS} points in 2-D, d = {peers.DIM}, {peers.HEADS} heads, hidden {peers.HIDDEN}, rank 16,"
        " 8 frequencies, float32; times are from the field to the sums. All evaluators run interleaved in one process,"
        " after a warm-up run. Times are medians over the rounds; ratios are medians and quartiles of the rounds'"
        " ratios. The time of a peer that runs at fewer points is multiplied by the ratio of the numbers of pairs. All"
        " but `concatenated` and neuraloperator, which have no such choice, start from the separated first layer. KeOps"
        " is compiled for this processor. In all runs the allocator keeps freed memory.",
    )
    machine = {"product, GFLOP/s": rates.product / 1e9}
    machine |= {f"{name}, 10⁹/s": rate / 1e9 for name, rate in rates.elementwise.items()}
    machine |= {"copy, GB/s": rates.bandwidth / 1e9}
    page.table(
        "machine",
        dict.fromkeys(machine, ".3g"),
        [machine],
    )
    page.add_text(
        "The bound is the time of the arithmetic alone at these rates of PyTorch. Products count at the matrix rate,"
        " and a ReLU or an addition counts as a multiply-add. SiLU, and the exponential of softmax, count at their own"
        " rates; `native` has its own, faster ones. The backward pass counts as two forward passes, without"
        " recomputation. The share of the matrix rate counts products (and the additive kernel's sums) alone, relative"
        " to a product measured in the same rounds."
    )
    groups: dict[str, dict[str, float]] = {}
    for about in dict.fromkeys((row["kernel"], row["pass"]) for row in rows):
        ms = {r["evaluator"]: r["ms"] for r in rows if (r["kernel"], r["pass"]) == about and "ms" in r}
        if "concatenated" in ms:
            groups["\n".join(about)] = {way: ms["concatenated"] / item for way, item in ms.items()}
    page.add_text(bars("evaluators", "times as fast as the concatenated definition in PyTorch", groups))
    page.table("times", COLUMNS, rows)
    page.add_text("Peak memory above the inputs, forward and backward, in a fresh process:")
    page.table("memory", {"kernel": "", "evaluator": "", "N": "d", "MB": ".0f", "goal": ""}, peaks)
    page.add_text("Speed of `native` relative to `dense` for few points, for which `auto` may choose `dense`:")
    page.table("few points", {"kernel": "", "samples": "d", "N": "d", "forward": "", "forward + backward": ""}, few)
    page.write()


def main() -> None:
    """Measure, and write the page."""
    rates = Rates.of_this_machine()
    rows = [row for case in CASES for backward in (False, True) for row in measure(case, backward, rates)]
    report(rates, rows, few_points(), memory())


def remember(way: str, number: str, points: str) -> None:
    """Print the peak memory of a way, above what libraries set up on first use."""
    options = CASES[int(number)].options
    run(way, Setup.of(128, **options), True)
    print_memory(partial(run, way, Setup.of(int(points), **options), True))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        remember(*sys.argv[2:])
    else:
        in_environment(main)
