"""LSTM and GRU compared to PyTorch's, for special_cases.py, and where Newton's method is faster on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import torch
from measuring import Pair, interleaved
from torch import Tensor, nn

from itnet_kernels import GRUKernel, LSTMKernel, convert
from itnet_kernels.recurrent.recurrent import RecurrentKernel

STEPS = (256, 2048, 16384)
CROSSOVER = (
    "Milliseconds to compute the states of a recurrent layer with fresh weights, one sample, forward: step by step / by"
    " Newton's method (their ratio; iterations). Newton's method is faster where the ratio is below 1. It multiplies"
    " matrices as wide as the state (an LSTM's has h and c), so it falls behind as layers get wider."
)


def recurrent() -> Iterator[Pair]:
    """Yield torch's layers and the same converted, 256 wide, 512 steps."""
    for layer in (nn.LSTM, nn.GRU):
        for batch in (1, 8):
            torch.manual_seed(0)
            theirs, x = layer(256, 256, batch_first=True), torch.randn(batch, 512, 256, requires_grad=True)
            ways = partial(_first, theirs, x), partial(_first, convert(theirs), x)
            name = f"nn.{layer.__name__}, 256 wide, 512 steps, batch {batch}"
            yield Pair(name, *ways, (x, *theirs.parameters()), "cost", 1.1)


CASES: dict[str, Callable[[], Iterator[Pair]]] = {"recurrent": recurrent}


def _first(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x)[0]


def crossover() -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return columns and rows that compare Newton's method to stepping."""
    rows = []
    for kernel in (LSTMKernel, GRUKernel):
        for hidden in (2, 8, 16, 32, 64):
            row: dict[str, Any] = {"layer": kernel.__name__.removesuffix("Kernel"), "hidden": hidden}
            row |= {f"{steps} steps": _ratio(kernel, hidden, steps) for steps in STEPS}
            rows.append(row)
            print(" | ".join(str(value) for value in row.values()), flush=True)
    return dict.fromkeys(rows[0], ""), rows


@torch.no_grad()
def _ratio(cls: type[RecurrentKernel], hidden: int, steps: int) -> str:
    if hidden * hidden * steps > 2**23:
        return "not run"
    torch.manual_seed(0)
    stepped, solved = cls(hidden, axis=0), cls(hidden, axis=0, solver="newton")
    solved.load_state_dict(stepped.state_dict())
    values = torch.randn(1, steps, hidden)
    start = stepped.initial_state(values)
    _, report = solved.solve(values, start)
    assert report.converged
    ways = {name: partial(kernel.path, values, start) for name, kernel in (("stepping", stepped), ("newton", solved))}
    stepping, newton = (median(times) for times in interleaved(ways, seconds=0, least=3).values())
    return f"{1e3 * stepping:.1f} / {1e3 * newton:.1f} ({newton / stepping:.2f}; {report.iterations})"
