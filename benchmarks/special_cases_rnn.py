"""LSTM and GRU as integral operators beside torch's own, and where solving in parallel over time pays on this machine.

Run `python benchmarks/special_cases_rnn.py` (5 minutes); it writes `benchmarks/special_cases_rnn.md`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median, quantiles

import torch
from provenance import provenance
from special_cases import Pair, measure
from torch import Tensor, nn

from itnet_kernels import convert
from itnet_kernels.gru import GRUKernel
from itnet_kernels.lstm import LSTMKernel
from itnet_kernels.recurrent import RecurrentKernel

HERE = Path(__file__).parent
STEPS = (256, 2048, 16384)


def shortcuts() -> list[str]:
    """Return the rows of torch's layers beside the converted ones: 256 wide, 512 steps."""
    rows = []
    for layer in (nn.LSTM, nn.GRU):
        for batch in (1, 8):
            torch.manual_seed(0)
            theirs, x = layer(256, 256, batch_first=True), torch.randn(batch, 512, 256, requires_grad=True)
            ours = convert(theirs)
            ways = partial(_first, theirs, x), partial(_first, ours, x)
            pair = Pair(layer.__name__, *ways, (x, *theirs.parameters()), ("cost", 1.1))
            for backward in (False, True):
                mine, other, ratios = measure(pair, backward, seconds=15.0)
                low, _, high = quantiles(ratios, n=4)
                met = "" if median(ratios) <= 1.1 else " (missed)"
                what = "forward + backward" if backward else "forward"
                rows.append(
                    f"| nn.{layer.__name__}, batch {batch} | {what} | {1e3 * mine:.1f} | {1e3 * other:.1f} |"
                    f" {median(ratios):.2f} ({low:.2f} to {high:.2f}, {len(ratios)} rounds) | ≤ 1.1{met} |"
                )
                print(rows[-1], flush=True)
    return rows


def _first(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x)[0]


def crossover() -> list[str]:
    """Return the rows of Newton's method beside stepping, with fresh weights: one sample, forward."""
    rows = []
    for kernel in (LSTMKernel, GRUKernel):
        for hidden in (2, 8, 16, 32, 64):
            cells = [_ratio(kernel, hidden, steps) for steps in STEPS]
            rows.append(f"| {kernel.__name__.removesuffix('Kernel')} | {hidden} | {' | '.join(cells)} |")
            print(rows[-1], flush=True)
    return rows


@torch.no_grad()
def _ratio(kernel: type[RecurrentKernel], hidden: int, steps: int) -> str:
    if hidden * hidden * steps > 2**23:
        return "not run"
    torch.manual_seed(0)
    stepped, solved = kernel(hidden, axis=0), kernel(hidden, axis=0, solver="newton")
    solved.load_state_dict(stepped.state_dict())
    values = torch.randn(1, steps, hidden)
    start = stepped.begin(values)
    ways = [_seconds(partial(each.path, values, start)) for each in (stepped, solved)]
    assert solved.report is not None
    assert solved.report.converged
    return f"{1e3 * ways[0]:.1f} / {1e3 * ways[1]:.1f} ({ways[1] / ways[0]:.2f}; {solved.report.iterations})"


def _seconds(run: Callable[[], object], rounds: int = 5) -> float:
    """Return the median time of a run, after one that does not count."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return median(times[1:])


def main() -> None:
    """Measure, and write both tables."""
    lines = [
        "# LSTM and GRU beside torch's",
        "",
        f"`python benchmarks/special_cases_rnn.py` on {provenance()}, float32.",
        "",
        "Torch's layers and the same converted into integral operators, 256 wide, 512 steps, interleaved in one"
        " process. Medians in ms; of the rounds' ratios, ours / theirs, the median and the quartiles.",
        "",
        "| layer | | theirs | ours | ratio | goal |",
        "|---|---|---|---|---|---|",
        *shortcuts(),
        "",
        "The path of a layer with fresh weights, one sample, forward: stepping / Newton's method in ms (their ratio;"
        " iterations). Newton's method pays where the ratio is below 1. It multiplies matrices as wide as the state (an"
        " LSTM's has h and c), so it loses with the width.",
        "",
        f"| layer | hidden | {' | '.join(f'{steps} steps' for steps in STEPS)} |",
        f"|---|---|{'---|' * len(STEPS)}",
        *crossover(),
    ]
    (HERE / "special_cases_rnn.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
