"""The evaluator `triton` on an NVIDIA GPU: errors (`gpu_checks`), then times (`gpu_timings`).

Run `python benchmarks/gpu.py` on a machine with a GPU; it takes about four minutes and writes `docs/benchmarks/gpu.md`
and `benchmarks/results/gpu.json`. It ends with an error where the kernels are off by more than is allowed. What is not
measured by `DEADLINE` is left out. Without a GPU it measures nothing;
`TRITON_INTERPRET=1 python benchmarks/gpu.py --interpret` then goes through all its steps on the CPU, on few points.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing import get_context
from multiprocessing.pool import AsyncResult
from pathlib import Path
from typing import Any

import torch
from gpu_checks import ALLOWED, CASES, SHAPES, Checked, check
from gpu_timings import KINDS, ROUNDS, Measured, compile_ahead, matrix_rate, measure, settings, summary, tuned_shapes
from gpu_windows import WINDOW, windows
from provenance import provenance

from itnet_triton.availability import interpreted, missing_gpu, missing_package
from itnet_triton.launch import KERNELS, shapes

HERE = Path(__file__).parent
WORKERS = 12
"""Processes that check and compile, each with a context of its own on the GPU."""
DEADLINE = 220
"""Seconds after which nothing more is measured; half of it is the most that compiling ahead may take."""


def main(device: str) -> None:
    """Check, measure, and write the page; a page is also written where the time runs out."""
    begin = time.perf_counter()

    def left() -> float:
        return DEADLINE - (time.perf_counter() - begin)

    interpreting = device == "cpu"
    checked = prepare(device, left)
    print(f"checked and compiled after {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    for result in checked:
        word = "WRONG" if result.wrong else "ok"
        again = "" if result.repeats else "  ANOTHER RESULT THE SECOND TIME"
        errors = f"sums {result.sums:.1e}  gradients {result.gradients:.1e}  dense {result.dense_gradients:.1e}{again}"
        print(f"{word:6}{result.case.dtype!s:16}{result.case.name:60}{errors}")
    size = 64 if interpreting else 8192
    rate = matrix_rate(device, size)
    name = torch.cuda.get_device_name() if device == "cuda" else "Triton's interpreter: times mean nothing"
    rows: list[Measured] = []
    for setting in [*windows(device), *settings(device)]:
        if left() < 0 and not interpreting:
            print(f"{setting.name}, N = {setting.points}: left out, no time", file=sys.stderr, flush=True)
            continue
        rows += measure(setting, device)
        lines = page(
            name, size, rate, checked, sorted(rows, key=lambda row: (WINDOW in row.what, row.head_dim, row.points))
        )
        if not interpreting:  # after each setting, so that a later failure keeps the measurements
            (HERE.parent / "docs" / "benchmarks" / "gpu.md").write_text("\n".join(lines) + "\n")
            data = {
                "device": name,
                "matrix_rate": rate,
                "rows": [asdict(row) for row in rows],
                "shapes": tuned_shapes(),
            }
            data["errors"] = [
                asdict(result) | {"case": result.case.name, "dtype": str(result.case.dtype)} for result in checked
            ]
            (HERE / "results" / "gpu.json").write_text(json.dumps(data, indent=1) + "\n")
    print("\n".join(lines))
    print(f"{time.perf_counter() - begin:.0f} s", file=sys.stderr)
    bad = [result for result in checked if result.wrong]
    if bad:
        sys.exit(f"{len(bad)} of {len(checked)} cases are off by more than is allowed")


def prepare(device: str, left: Callable[[], float]) -> list[Checked]:
    """Check in many processes, which also compile what is measured: compiling takes most of the time."""
    interpreting = device == "cpu"
    cases = CASES if interpreting else CASES + SHAPES
    workers = 2 if interpreting else min(WORKERS, os.cpu_count() or 1)
    with get_context("spawn").Pool(workers, maxtasksperchild=8) as pool:
        checking = [pool.apply_async(check, (case, device)) for case in cases]
        compiling: list[tuple[str, AsyncResult[Any]]] = [
            (f"{kind}, {name}", pool.apply_async(compile_ahead, (kind, name, shapes(name, kind[2])[number])))
            for number in range(max(len(shapes(name, dtype)) for name in KERNELS for dtype in ALLOWED))
            for name in KERNELS
            for kind in KINDS
            # A run in one kernel's other shape takes the defaults of the two others.
            if not interpreting and number < len(shapes(name, kind[2])) and (number or name == "sums")
        ]
        if not interpreting:  # a run keeps what it compiles on the disk
            compiling += [(item.name, pool.apply_async(measure, (item, device))) for item in windows(device)]
        checked = []
        for case, result in zip(cases, checking, strict=True):
            try:
                checked.append(result.get(timeout=max(left(), 1)))
            except Exception as error:  # one case that fails to compile must not hide the others
                print(f"{case.dtype} {case.name}: {summary(error)}", file=sys.stderr, flush=True)
                checked.append(Checked.failed(case))
        for name, ready in compiling:
            try:
                ready.get(timeout=max(left() - DEADLINE / 2, 0.1))
            except Exception as error:
                print(f"{name}: compiling ahead: {summary(error)}", file=sys.stderr, flush=True)
    return checked


def page(device: str, size: int, rate: float, checked: list[Checked], rows: list[Measured]) -> list[str]:
    """Return the page's lines."""
    lines = [
        "# Evaluator triton on a GPU",
        "",
        f"`python benchmarks/gpu.py` on {device}; {provenance()}. A product of {size}² bf16 matrices:"
        f" {rate / 1e12:.3g} TFLOP/s. One sample of N points in the plane, hidden 32, rank 16, 8 frequencies, ReLU."
        " A window of 5 × 5 points has batches of 8 grids, and its near tiles are found once, as in a trunk; attention"
        " and convolutions of equal width compute something else."
        f" Medians of {ROUNDS} interleaved runs in one process (of three at least where a run is long), after one that"
        " compiles. Rates count the operations of the sums: once for the forward pass, three times for forward +"
        " backward. Recomputation does not count.",
        "",
        "| case | N | variant | forward, ms | TFLOP/s | share | forward + backward, ms | TFLOP/s | share | MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.forward is None or row.both is None:
            lines.append(f"| {row.what} | {row.points} | {row.variant} | does not run | | | | | | |")
            continue
        one, three = row.operations / row.forward * 1e3, 3 * row.operations / row.both * 1e3
        memory = "" if row.megabytes is None else f"{row.megabytes:.0f}"
        lines.append(
            f"| {row.what} | {row.points} | {row.variant} | {row.forward:.2f} | {one / 1e12:.3g} | {one / rate:.1%}"
            f" | {row.both:.2f} | {three / 1e12:.3g} | {three / rate:.1%} | {memory} |"
        )
    lines += [
        "",
        f"Relative errors against `dense` in float64, the largest of {len(checked)} cases (four activations, both"
        " normalizations; every pair, causal, radius and window; with padding). Each case was run twice; the results"
        f" were the same bit for bit in {sum(result.repeats for result in checked)}:",
        "",
        "| dtype | activation | of the sums | of a gradient | of `dense` in that dtype | allowed |",
        "|---|---|---|---|---|---|",
    ]
    for dtype, allowed in ALLOWED.items():
        for relu in (True, False):
            some = [r for r in checked if r.case.dtype == dtype and (r.case.activation == "relu") == relu]
            names = "sums", "gradients", "dense_sums", "dense_gradients"
            worst = [torch.tensor([getattr(result, name) for result in some]).max().item() for name in names]
            lines.append(
                f"| {str(dtype).removeprefix('torch.')} | {'ReLU' if relu else 'smooth'} | {worst[0]:.1e}"
                f" | {worst[1]:.1e} | {worst[2]:.1e}, {worst[3]:.1e} | {allowed:.0e} |"
            )
    lines += [
        "",
        "ReLU's derivative jumps at 0: where bf16 rounds an argument to the other side of 0, the gradient changes.",
    ]
    return lines


if __name__ == "__main__":
    if missing_package() is not None:
        sys.exit(f"Nothing was measured: {missing_package()}.")
    if sys.argv[1:] == ["--interpret"]:
        if not interpreted():
            sys.exit("--interpret needs the variable TRITON_INTERPRET=1.")
        main("cpu")
    elif missing_gpu() is not None:
        sys.exit(f"Nothing was measured: {missing_gpu()}. This benchmark needs an NVIDIA GPU.")
    else:
        main("cuda")
