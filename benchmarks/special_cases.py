"""Compare special cases' fast paths to their counterparts: each pair interleaved in one process, medians of ratios.

Run `python benchmarks/special_cases.py [NAME ...]` (5 minutes); without names it writes its page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

import special_cases_rnn
import special_cases_ssm
import torch
from measuring import Pair, Ratio, Report, goal, in_environment, interleaved
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import Field, IntegralOperator
from itnet_kernels import convert
from itnet_kernels.attention.attention import AttentionKernel


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
        "cost",
        1.1,
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
        yield Pair(name, theirs, ours, (x, *maps, out), "cost", 1.1)


CASES: Mapping[str, Callable[[], Iterator[Pair]]] = {
    "convolution": convolution,
    "attention": attention,
    **special_cases_rnn.CASES,
    **special_cases_ssm.CASES,
}


def run(way: Callable[[], Tensor], leaves: tuple[Tensor, ...]) -> Callable[[], object]:
    """Return a function that runs one side, with gradients to `leaves`, if any."""

    def forward() -> None:
        with torch.no_grad():
            way()

    return (lambda: torch.autograd.grad(way().sum(), leaves)) if leaves else forward


def row(pair: Pair, leaves: tuple[Tensor, ...]) -> dict[str, Any]:
    """Return the table's row of a pair, forward, or with the gradients to `leaves`."""
    with torch.no_grad():
        expected, actual = pair.theirs(), pair.ours()
    ways = {"theirs": run(pair.theirs, leaves), "ours": run(pair.ours, leaves)}
    slow = bool(leaves) and pair.slow_backward
    times = interleaved(ways, seconds=0 if slow else 5, least=1 if slow else 5)
    above, below = ("ours", "theirs") if pair.kind == "cost" else ("theirs", "ours")
    ratio = Ratio.of(times[above], times[below])
    return {
        "case": pair.name,
        "": "forward + backward" if leaves else "forward",
        "theirs, ms": 1e3 * median(times["theirs"]),
        "ours, ms": 1e3 * median(times["ours"]),
        "ratio": ratio,
        "of": pair.kind,
        "goal": goal(ratio.median, **{"most" if pair.kind == "cost" else "least": pair.bound}),
        "rounds": len(times["ours"]),
        "difference": float((expected - actual).abs().max() / expected.abs().max()),
    }


def main() -> None:
    """Measure the cases named on the command line, or all, and then write the page."""
    names, rows = sys.argv[1:], []
    for name in names or CASES:
        for pair in CASES[name]():
            for leaves in ((), pair.leaves) if pair.leaves else ((),):
                rows.append(row(pair, leaves))
                print(" | ".join(str(value) for value in rows[-1].values()), flush=True)
    if names:
        return
    report = Report(
        "special_cases",
        "Special cases",
        "Both sides of each pair have the same weights, and run interleaved in one process, in float32. Times are"
        " medians over the rounds; ratios are medians and quartiles of the rounds' ratios. Cost is ours / theirs, speed"
        " theirs / ours. The difference is the largest one between the results, relative to the largest result. Goals"
        " for Mamba apply to the scans: around them, a mixer computes the same maps, convolution and gates on both"
        " sides.",
    )
    columns = {"case": "", "": "", "theirs, ms": ".1f", "ours, ms": ".1f", "of": "", "ratio": "", "goal": ""}
    report.table("pairs", columns | {"rounds": "d", "difference": ".0e"}, rows)
    report.add_text(special_cases_rnn.CROSSOVER)
    report.table("crossover", *special_cases_rnn.crossover())
    report.write()


if __name__ == "__main__":
    in_environment(main)
