"""Times of the evaluator `triton`, of eager PyTorch and of attention, and the memory that they take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch
from gpu_checks import only
from gpu_problem import MLPProblem, leaves, operations, random_problem
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from itnet_core import DenseEvaluator, TiledEvaluator
from itnet_triton import launch
from itnet_triton.evaluator import TritonEvaluator
from itnet_triton.launch import Shape

ROUNDS = 10
SECONDS = 1.0
"""Time that the rounds of one variant may take; at least three are run."""
ATTENTION_DIM = 64
Variant = tuple[Callable[[], Tensor], list[Tensor]]
"""A way to compute something, and what gradients are taken to."""


@dataclass(frozen=True)
class Measured:
    """A row: medians in milliseconds, and the peak of memory above the inputs in MB; `None` where it does not fit."""

    what: str
    head_dim: int
    points: int
    variant: str
    forward: float | None
    both: float | None
    megabytes: float | None
    operations: int


def seconds(run: Callable[[], object], device: str) -> float:
    """Return how long one run takes, the GPU's part included."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Setting:
    """A measurement: a number of points, a dtype, a normalization and the channels of a head."""

    points: int
    dtype: torch.dtype
    normalization: str
    head_dim: int

    @property
    def name(self) -> str:
        """The setting in words."""
        return f"{str(self.dtype).removeprefix('torch.')}, {self.normalization}, 4 heads of {self.head_dim}"

    def problem(self, device: str) -> MLPProblem:
        """Return the problem."""
        return random_problem(self.points, self.dtype, device, head_dim=self.head_dim, normalization=self.normalization)

    def operations(self, problem: MLPProblem) -> int:
        """Return the operations that the sums need."""
        return operations(problem)

    def variants(self, problem: MLPProblem, device: str) -> dict[str, Variant]:
        """Return the ways to the sums; attention has the sums' operations."""
        inputs = leaves(problem)
        triton, tuned = (TritonEvaluator(tune=tune, interpret=device == "cpu") for tune in (False, True))
        # 2·2·head_dim a pair and head
        heads = max(1, round(operations(problem) / self.points**2 / (4 * ATTENTION_DIM)))
        shape = 1, heads, self.points, ATTENTION_DIM
        q, k, v = (torch.randn(shape, dtype=problem.values.dtype, device=device, requires_grad=True) for _ in range(3))
        dense, tiled = DenseEvaluator(), TiledEvaluator()
        runs: dict[str, Variant] = {
            "triton": (lambda: triton(problem), inputs),
            "triton, tuned": (lambda: tuned(problem), inputs),
            f"attention (SDPA), {heads} heads of {ATTENTION_DIM}": (
                lambda: scaled_dot_product_attention(q, k, v),
                [q, k, v],
            ),
            "eager PyTorch (tiled)": (lambda: tiled(problem), inputs),
        }
        if self.points <= 8192:  # more pairs do not fit
            runs["eager PyTorch (dense)"] = lambda: dense(problem), inputs
        return runs


KINDS = [
    (head_dim, normalization, dtype)
    for head_dim in (16, 64)
    for normalization in ("none", "softmax")
    for dtype in (torch.bfloat16, torch.float32)
]
POINTS = 8192, 2048, 1024, 16384, 4096
"""Numbers of points, the most telling first."""


def settings(device: str) -> list[Setting]:
    """Return the settings to measure, in the order of measuring."""
    points = (40,) if device == "cpu" else POINTS
    kinds = [kind for kind in KINDS if device == "cuda" or kind[0] == 16]
    return [
        Setting(count, dtype, normalization, head_dim)
        for dim in (16, 64)
        for count in points
        for head_dim, normalization, dtype in kinds
        if head_dim == dim
    ]


def compile_ahead(kind: tuple[int, str, torch.dtype], kernel: str, shape: Shape) -> None:
    """Run a kernel in a shape of blocks, so that the cache on the disk has what it compiles."""
    head_dim, normalization, dtype = kind
    problem = Setting(min(POINTS), dtype, normalization, head_dim).problem("cuda")
    with only(dtype, kernel, shape):
        torch.autograd.grad(TritonEvaluator()(problem).sum(), leaves(problem), allow_unused=True)


def tuned_shapes() -> list[dict[str, object]]:
    """Return the milliseconds of each shape of blocks that tuning measured in this process."""
    return [
        {
            "kernel": kernel,
            "dtype": str(dtype),
            "points": points,
            "softmax": kind.softmax,
            "channels": kind.dim,
            "milliseconds": {str(shape): time for shape, time in times.items()},
        }
        for (kernel, dtype, points, kind), times in launch.measured().items()
    ]


def summary(error: Exception) -> str:
    """Return an error in a line."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def measure(setting: Setting, device: str) -> list[Measured]:
    """Return the variants' times, interleaved, and memory; a variant that does not fit is left out of the rounds."""
    problem = setting.problem(device)
    runs = setting.variants(problem, device)
    times: dict[str, tuple[list[float], list[float], float | None]] = {}
    missing: list[str] = []
    for number in range(1 + ROUNDS if device == "cuda" else 2):
        for name, (run, inputs) in runs.items():
            if name in missing or (number > 3 and sum(map(sum, times[name][:2])) > SECONDS):
                continue

            def both(run: Callable[[], Tensor] = run, inputs: list[Tensor] = inputs) -> None:
                torch.autograd.grad(run().sum(), inputs, allow_unused=True)

            def forward(run: Callable[[], Tensor] = run) -> None:
                with torch.no_grad():
                    run()

            try:
                if number == 0:  # compiles, tunes, and shows the memory of the second time
                    seconds(forward, device)
                    seconds(both, device)
                    times[name] = [], [], _peak(both, device)
                else:
                    times[name][0].append(seconds(forward, device))
                    times[name][1].append(seconds(both, device))
            except (torch.OutOfMemoryError, NotImplementedError, RuntimeError) as error:
                print(f"{setting.name}, N = {setting.points}: {name}: {summary(error)}", file=sys.stderr)
                missing.append(name)
                if device == "cuda":
                    torch.cuda.empty_cache()
    rows = [
        Measured(
            setting.name,
            setting.head_dim,
            setting.points,
            name,
            1e3 * median(f),
            1e3 * median(b),
            peak,
            setting.operations(problem),
        )
        for name, (f, b, peak) in times.items()
        if name not in missing
    ]
    blank = Measured(setting.name, setting.head_dim, setting.points, "", None, None, None, setting.operations(problem))
    return [*rows, *(replace(blank, variant=name) for name in missing)]


def _peak(run: Callable[[], None], device: str) -> float | None:
    if device != "cuda":
        return None
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def matrix_rate(device: str, size: int) -> float:
    """Return the rate of a product of square bf16 matrices, in operations a second."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / median(seconds(lambda: a @ b, device) for _ in range(ROUNDS + 3))
