"""The tiled operator beside the concatenated definition: time in one process, interleaved; memory in fresh processes.

Run `python benchmarks/tiled_operator.py` (10 minutes; 24 GB of memory); it writes `benchmarks/tiled_operator.md`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from provenance import provenance

from itnet_core import Field, IntegralOperator, MLPKernel
from itnet_core.evaluate import TiledEvaluator
from itnet_core.testing.reference import concatenated_mlp

HERE = Path(__file__).parent
DIM, HEADS, HIDDEN = 64, 4, 32
# Without these the allocator gives memory back between operations, and identical runs differ several times.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}


def problem(points: int) -> tuple[IntegralOperator, Field]:
    """Return the operator with all kernel inputs, and one sample of points in the plane."""
    torch.manual_seed(0)
    kernel = MLPKernel(DIM, position_dim=2, heads=HEADS, hidden=HIDDEN)
    operator = IntegralOperator(DIM, kernel, evaluator=TiledEvaluator())
    return operator, Field(torch.randn(1, points, DIM), 2 * torch.rand(1, points, 2) - 1)


def tiled(operator: IntegralOperator, field: Field) -> None:
    """Forward, tiled."""
    with torch.no_grad():
        operator(field)


def tiled_backward(operator: IntegralOperator, field: Field) -> None:
    """Forward and backward, tiled."""
    values = field.values.clone().requires_grad_()
    operator(field.with_values(values)).values.sum().backward()


def concatenated(operator: IntegralOperator, field: Field) -> None:
    """Forward, as the definition stands: the MLP over the concatenated inputs of all pairs."""
    with torch.no_grad():
        kernel = operator.kernel
        assert isinstance(kernel, MLPKernel)
        k = concatenated_mlp(kernel, field, field) * field.weights[:, None, None, :]
        operator.output((k @ operator.value(field.values).transpose(1, 2)).transpose(1, 2))


VARIANTS: dict[str, Callable[[IntegralOperator, Field], None]] = {
    "tiled": tiled,
    "tiled forward + backward": tiled_backward,
    "concatenated": concatenated,
}


def seconds(run: Callable[[], object]) -> float:
    """Return how long one run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def megabytes(variant: str, points: int) -> float:
    """Return the peak memory of one run above the inputs, in MB, measured in a fresh process."""
    command = [sys.executable, __file__, "--memory", variant, str(points)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | ALLOCATOR)
    return float(json.loads(done.stdout)["megabytes"])


def print_memory(variant: str, points: int) -> None:
    """Print the peak above what stood after a small warm-up run and the inputs."""
    VARIANTS[variant](*problem(16))  # what libraries set up on first use is not the variant's
    operator, field = problem(points)
    before = _status("VmRSS")
    VARIANTS[variant](operator, field)
    print(json.dumps({"megabytes": _status("VmHWM") - before}))


def _status(field: str) -> float:
    """Return a line of this process's memory in MB; `getrusage` would give the parent's peak where that is higher."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def main(rounds: int = 5) -> None:
    """Measure, and write the table."""
    matrix = torch.randn(2048, 2048)
    operator, field = problem(4096)
    times: dict[str, list[float]] = {name: [] for name in (*VARIANTS, "matrix product")}
    for _ in range(rounds):
        times["matrix product"].append(min(seconds(lambda: torch.mm(matrix, matrix)) for _ in range(5)))
        for name, run in VARIANTS.items():
            times[name].append(seconds(lambda run=run: run(operator, field)))  # type: ignore[misc]
    rate = 2 * 2048**3 / median(times["matrix product"])
    kernel = operator.kernel
    assert isinstance(kernel, MLPKernel)
    operations = 4096**2 * 2 * (HIDDEN * kernel.inputs.width + HIDDEN * HEADS + DIM)
    large = problem(16384)
    large_times = [seconds(lambda: tiled(*large)), seconds(lambda: tiled_backward(*large))]
    ratio = median(c / t for c, t in zip(times["concatenated"], times["tiled"], strict=True))
    memory = {name: megabytes(name, 4096) for name in VARIANTS}
    rows = [
        ("concatenated, forward", 4096, median(times["concatenated"]), memory["concatenated"]),
        ("tiled, forward", 4096, median(times["tiled"]), memory["tiled"]),
        (
            "tiled, forward + backward",
            4096,
            median(times["tiled forward + backward"]),
            memory["tiled forward + backward"],
        ),
        ("tiled, forward", 16384, large_times[0], megabytes("tiled", 16384)),
        ("tiled, forward + backward", 16384, large_times[1], megabytes("tiled forward + backward", 16384)),
    ]
    share = operations / median(times["tiled"]) / rate
    lines = [
        "# The tiled operator beside the concatenated definition",
        "",
        f"`python benchmarks/tiled_operator.py` on {provenance()}. One sample of N points in"
        f" 2-D, d = {DIM}, {HEADS} heads, hidden {HIDDEN}, all kernel inputs, float32. Medians of {rounds} interleaved"
        " runs in one process (N = 16384: one run); memory is the peak above the inputs in a fresh process.",
        "",
        "| variant | N | seconds | MB above the inputs |",
        "|---|---|---|---|",
        *(f"| {name} | {points} | {time:.2f} | {memory:.0f} |" for name, points, time, memory in rows),
        "",
        f"At N = 4096 tiled is {ratio:.1f} times as fast as concatenated (median of the rounds' ratios), with"
        f" {memory['concatenated'] / memory['tiled']:.0f} times less memory; it reaches {share:.0%} of the"
        f" {rate / 1e9:.0f} GFLOP/s of a 2048² matrix product measured between the runs.",
    ]
    (HERE / "tiled_operator.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        print_memory(sys.argv[2], int(sys.argv[3]))
    elif any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR)
    else:
        main()
