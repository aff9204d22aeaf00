"""Special cases' shortcuts beside their counterparts: each pair in one process, interleaved, medians of ratios.

Run `python benchmarks/special_cases.py [NAME ...]` (10 minutes); without names it writes `benchmarks/special_cases.md`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import torch
from provenance import provenance
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import Field, IntegralOperator
from itnet_kernels import convert
from itnet_kernels.attention import AttentionKernel

# Without these the allocator gives memory back between operations, and identical runs differ several times.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}


@dataclass(frozen=True)
class Pair:
    """Two ways to the same numbers.

    Attributes:
        name: what is computed.
        theirs: the counterpart, as a user has it; returns the result.
        ours: the shortcut.
        leaves: what gradients are taken to, besides timing forward alone; none for forward alone.
        goal: the ratio that it is to reach, and of what: `cost` is ours / theirs, at most; `speed` theirs / ours, at
            least.
    """

    name: str
    theirs: Callable[[], Tensor]
    ours: Callable[[], Tensor]
    leaves: tuple[Tensor, ...]
    goal: tuple[str, float]


def convolution() -> Iterator[Pair]:
    """Yield a 3 × 3 convolution of 64 channels on 64² pixels."""
    torch.manual_seed(0)
    theirs = nn.Conv2d(64, 64, 3, padding=1)
    ours, x = convert(theirs), torch.randn(4, 64, 64, 64, requires_grad=True)
    leaves = (x, *theirs.parameters())
    yield Pair(
        "conv2d 64 to 64 channels, 3 by 3, 64² pixels, batch 4",
        lambda: theirs(x),
        lambda: ours(x),
        leaves,
        ("cost", 1.1),
    )


def attention() -> Iterator[Pair]:
    """Yield self-attention with its four linear maps, 8 heads of 64, 2048 points."""
    for causal in (False, True):
        torch.manual_seed(0)
        kernel = AttentionKernel(512, heads=8, support={"causal": "t"} if causal else {})
        operator = IntegralOperator(512, kernel, pointwise=False)
        field = Field.on_grid(torch.randn(1, 2048, 512), axes="t", measure="counting")
        x = field.values.requires_grad_()
        maps = [kernel.query.weight, kernel.key.weight, *(p for p in operator.value.parameters())]
        out = next(iter(operator.output.parameters()))

        def theirs(x: Tensor = x, maps: list[Tensor] = maps, out: Tensor = out, causal: bool = causal) -> Tensor:
            q, k, v = (F.linear(x, weight).view(1, -1, 8, 64).transpose(1, 2) for weight in maps)
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
            return F.linear(attended.transpose(1, 2).flatten(2), out)

        def ours(operator: IntegralOperator = operator, field: Field = field) -> Tensor:
            return operator(field).values

        name = f"attention, 8 heads of 64, N = 2048{', causal' if causal else ''}"
        yield Pair(name, theirs, ours, (x, *maps, out), ("cost", 1.1))


CASES: dict[str, Callable[[], Iterator[Pair]]] = {"convolution": convolution, "attention": attention}


def timed(run: Callable[[], Tensor], leaves: tuple[Tensor, ...], backward: bool) -> float:
    """Return how long one run takes, in seconds."""
    start = time.perf_counter()
    if backward:
        torch.autograd.grad(run().sum(), leaves)
    else:
        with torch.no_grad():
            run()
    return time.perf_counter() - start


def measure(pair: Pair, backward: bool, seconds: float = 20.0) -> tuple[float, float, list[float]]:
    """Return the medians of theirs and ours, in seconds, and the rounds' ratios, over some seconds of rounds."""
    ways = pair.theirs, pair.ours
    for way in ways:
        timed(way, pair.leaves, backward)
    rounds: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < 5 or time.perf_counter() < end:
        order = (0, 1) if len(rounds) % 2 else (1, 0)  # neither is always the first
        found = {n: timed(ways[n], pair.leaves, backward) for n in order}
        rounds.append((found[0], found[1]))
    theirs, ours = zip(*rounds, strict=True)
    cost = pair.goal[0] == "cost"
    return median(theirs), median(ours), [b / a if cost else a / b for a, b in rounds]


def main(cases: Mapping[str, Callable[[], Iterator[Pair]]], file: Path) -> None:
    """Measure the cases named on the command line, or all, and then write the table beside the script `file`."""
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR)
    names, rows = sys.argv[1:], []
    for name in names or cases:
        for pair in cases[name]():
            with torch.no_grad():
                theirs, ours = pair.theirs(), pair.ours()
            error = float((theirs - ours).abs().max() / theirs.abs().max())
            for backward in (False, True) if pair.leaves else (False,):
                rows.append(row(pair, backward, error))
                print(rows[-1], flush=True)
    lines = [
        "# Special cases beside their counterparts",
        "",
        f"`python benchmarks/{file.name}` on {provenance()}. Each pair has the same weights and runs interleaved in one"
        " process, float32. Medians of the rounds, in ms; of the rounds' ratios the median and the quartiles: cost is"
        " ours / theirs, speed theirs / ours. The last column is the largest difference of the results, relative to"
        " the largest result.",
        "",
        "| case | | theirs | ours | ratio | goal | difference |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    if not names:
        file.with_suffix(".md").write_text("\n".join(lines) + "\n")


def row(pair: Pair, backward: bool, error: float) -> str:
    """Return the table's row of a pair."""
    theirs, ours, ratios = measure(pair, backward)
    low, _, high = quantiles(ratios, n=4)
    kind, bound = pair.goal
    met = median(ratios) <= bound if kind == "cost" else median(ratios) >= bound
    return (
        f"| {pair.name} | {'forward + backward' if backward else 'forward'} | {1e3 * theirs:.1f} | {1e3 * ours:.1f} |"
        f" {kind} {median(ratios):.2f} ({low:.2f} to {high:.2f}, {len(ratios)} rounds) |"
        f" {'≤' if kind == 'cost' else '≥'} {bound:g}{'' if met else ' (missed)'} | {error:.0e} |"
    )


if __name__ == "__main__":
    main(CASES, Path(__file__))
