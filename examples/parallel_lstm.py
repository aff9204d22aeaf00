"""Solve a trained LSTM on real speech for all times at once by Newton's method, and compare it to stepping.

Run `python examples/fetch_data.py resemblyzer languages`, then `python examples/parallel_lstm.py [--frames 160 ...]`.
The three layers of Resemblyzer's speaker encoder get the mel spectrograms of recordings. `LSTMKernel.solve` and
PyTorch's own LSTM compute each layer's path, in float32, from the same inputs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from claims import DATA, missing, speaker_encoder, spectrogram, speech
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from itnet_core import IntegralOperator
from itnet_kernels import LSTMKernel
from itnet_kernels.conversion.recurrent import FieldRecurrent

BOUND, MAX_ITERATIONS = 1e-6, 64


@dataclass(frozen=True)
class Solved:
    """Result of one layer at one length.

    Attributes:
        frames: steps of time.
        layer: counted from 1.
        iterations: Newton iterations.
        residual: the last one, relative to the largest state.
        difference: the largest between the states h of both solvers; they lie in [−1, 1].
        milliseconds: of Newton's method.
        stepping: of PyTorch's LSTM, in milliseconds.
        holds: whether it converged, to the stepped states within 1e-6.
    """

    frames: int
    layer: int
    iterations: int
    residual: float
    difference: float
    milliseconds: float
    stepping: float
    holds: bool


@torch.no_grad()
def solve(lstm: nn.LSTM, mels: Tensor) -> Iterator[Solved]:
    """Yield the result of each layer on mel spectrograms, (B, frames, 40)."""
    stepped, solved = FieldRecurrent(lstm), FieldRecurrent(lstm, solver="newton", max_iterations=MAX_ITERATIONS)
    values = mels
    pairs = zip(stepped.layers.operators, solved.layers.operators, strict=True)
    for number, operators in enumerate(pairs, start=1):
        by_steps, by_newton = (cast(LSTMKernel, cast(IntegralOperator, operator).kernel) for operator in operators)
        start = by_steps.initial_state(values)
        by_steps.path(values, start)  # the first run of a shape is slower
        clock = [time.perf_counter()]
        expected, _ = by_steps.path(values, start)
        clock.append(time.perf_counter())
        states, report = by_newton.solve(values, start)
        clock.append(time.perf_counter())
        difference = float((states[..., : by_newton.heads] - expected).abs().max())
        stepping, milliseconds = (1e3 * (after - before) for before, after in pairwise(clock))
        holds = report.converged and difference <= BOUND
        numbers = report.iterations, report.residual, difference, milliseconds, stepping
        yield Solved(values.shape[1], number, *numbers, holds)
        values = expected


def main() -> int:
    """Print a table of all layers and lengths, and return 0 if all hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="where fetch_data.py put the data (default: data)")
    parser.add_argument("--recordings", type=int, default=2, help="how many (default: 2)")
    parser.add_argument("--frames", type=int, nargs="+", default=[40, 80, 160], help="of 10 ms (default: 40 80 160)")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    arguments = parser.parse_args()
    absent = missing("resemblyzer", arguments.data)
    if absent:
        parser.error(f"{arguments.data}: no {', '.join(absent)}. Run python examples/fetch_data.py {' '.join(absent)}")
    lstm = speaker_encoder(arguments.data).lstm
    mels = spectrogram(speech(arguments.data)[: arguments.recordings])
    results = [result for frames in arguments.frames for result in solve(lstm, mels[:, :frames])]
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    else:
        table = Table("frames", "layer", "iterations", "residual", "difference", "Newton, ms", "stepping, ms", "holds")
        for result in results:
            errors = f"{result.residual:.1e}", f"{result.difference:.1e}"
            times = f"{result.milliseconds:.0f}", f"{result.stepping:.1f}"
            table.add_row(*map(str, [result.frames, result.layer, result.iterations, *errors, *times, result.holds]))
        Console().print(table)
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
