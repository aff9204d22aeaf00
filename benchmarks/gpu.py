"""The evaluator `triton` on an NVIDIA GPU: first whether it is right, then how fast it is.

Run `python benchmarks/gpu.py` on a machine with a GPU; it writes `benchmarks/gpu.md` and `gpu.json`. It
ends with an error where the kernels are off by more than is allowed. Without a GPU it says so, and measures nothing;
`TRITON_INTERPRET=1 python benchmarks/gpu.py --interpret` then goes through all its steps on the CPU, on few points.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from provenance import provenance
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from itnet_core import Field, MLPKernel, Support
from itnet_core.evaluate import DenseEvaluator, Evaluator, TiledEvaluator
from itnet_core.kernel import Points
from itnet_triton.evaluator import TritonEvaluator
from itnet_triton.surroundings import interpreted, missing_gpu, missing_package

HERE = Path(__file__).parent
ALLOWED = {torch.float32: 1e-3, torch.bfloat16: 1e-2}
"""Relative errors, in the 2-norm of the sums and of each gradient."""
ROUNDS = 10
ATTENTION_DIM = 64


@dataclass(frozen=True, eq=False)
class Problem:
    """A kernel, its terms for N points in the plane, weights and values."""

    kernel: MLPKernel
    query: Points
    key: Points
    values: Tensor

    @property
    def leaves(self) -> list[Tensor]:
        """What gradients are taken to."""
        parameters = [each for name, each in self.kernel.named_parameters() if name != "content.weight"]
        return [self.query.terms, self.key.terms, self.values, *parameters]

    @property
    def operations(self) -> int:
        """Multiplications and additions that the sums need, padding and the activation not counted."""
        batch, keys, heads, head_dim = self.values.shape
        pair = 2 * (self.kernel.config.hidden * (self.kernel.inputs.width + heads) + heads * head_dim)
        return batch * self.query.positions.shape[1] * keys * pair

    def to(self, dtype: torch.dtype) -> Problem:
        """Return the same numbers in another dtype, as new leaves."""
        kernel = MLPKernel(self.kernel.content.in_features, self.kernel.config).to(self.values.device, dtype)
        kernel.load_state_dict(self.kernel.state_dict())
        query, key = (
            side._replace(terms=side.terms.detach().to(dtype, copy=True).requires_grad_())
            for side in (self.query, self.key)
        )
        return Problem(kernel, query, key, self.values.detach().to(dtype, copy=True).requires_grad_())


def problem(
    points: int, dtype: torch.dtype, device: str, *, head_dim: int = 16, padding: bool = False, **options: Any
) -> Problem:
    """Return one sample of N points of random positions, values and terms, in the numbers of `dtype`."""
    torch.manual_seed(0)
    small = {"hidden": 2, "rank": 2, "frequencies": 1}  # the interpreter takes its time
    sizes: dict[str, Any] = {} if device == "cuda" else small
    kernel = MLPKernel(64, position_dim=2, **sizes, **options).to(device)
    weights = torch.full((1, points), 1.0 / points, device=device)
    if padding:
        weights = weights * (torch.arange(points, device=device) % 5 != 3)
    places = 2 * torch.rand(1, points, 2, device=device) - 1
    field = Field(torch.randn(1, points, 64, device=device), places, weights)
    query, key = (
        Points(terms.detach(), field.positions, field.weights.to(dtype)) for terms in kernel.project(field, field)
    )
    return Problem(kernel, query, key, torch.randn(1, points, kernel.heads, head_dim, device=device)).to(dtype)


def solve(given: Problem, evaluator: Evaluator) -> list[Tensor]:
    """Return the sums and all gradients of a fixed linear function of them."""
    out = evaluator(given.kernel, given.query, given.key, given.values)
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(out.shape, generator=generator).bfloat16().to(out)
    found = torch.autograd.grad(out, given.leaves, grad, allow_unused=True)
    pairs = zip(given.leaves, found, strict=True)
    return [out.detach(), *(torch.zeros_like(each) if g is None else g for each, g in pairs)]


def errors(device: str, evaluator: Evaluator) -> Iterator[tuple[str, torch.dtype, float, float]]:
    """Yield each case with the relative error of its sums, and the largest of its gradients, against float64."""
    for dtype in ALLOWED:
        for normalization in ("none", "softmax"):
            for support in (Support(), Support(causal=0)):
                for activation in ("relu", "silu", "gelu", "tanh"):
                    options: dict[str, Any] = {
                        "normalization": normalization,
                        "support": support,
                        "activation": activation,
                    }
                    given = problem(1000 if device == "cuda" else 20, dtype, device, padding=True, **options)
                    expected, found = solve(given.to(torch.float64), DenseEvaluator()), solve(given, evaluator)
                    if normalization == "softmax":  # a constant beside k changes nothing: the gradient of b_2 is 0
                        expected, found = expected[:-1], found[:-1]
                    relative = [float((f - e).norm() / e.norm()) for f, e in zip(found, expected, strict=True)]
                    name = f"{activation}, {normalization}{', causal' if support.causal is not None else ''}"
                    yield name, dtype, relative[0], max(relative[1:])


@dataclass(frozen=True)
class Measured:
    """A row: medians in milliseconds, and the peak of memory above the inputs in MB; `None` where it does not fit."""

    what: str
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


def variants(given: Problem, device: str) -> dict[str, tuple[Callable[[], Tensor], list[Tensor]]]:
    """Return the ways to the sums, each with what gradients are taken to; attention has the sums' operations."""
    case = (given.kernel, given.query, given.key, given.values)
    dense = DenseEvaluator()
    backend = "inductor" if device == "cuda" else "eager"
    compiled = torch.compile(lambda: dense(*case), backend=backend)
    pair = given.operations // given.query.positions.shape[1] ** 2
    heads = max(1, round(pair / (4 * ATTENTION_DIM)))  # attention: 2·2·head_dim operations a pair and head
    shape = 1, heads, given.query.positions.shape[1], ATTENTION_DIM
    q, k, v = (torch.randn(shape, dtype=given.values.dtype, device=device, requires_grad=True) for _ in range(3))
    flex = torch.compile(flex_attention, backend=backend)
    triton, tiled = TritonEvaluator(tune=True, interpret=device == "cpu"), TiledEvaluator()
    return {
        "triton": (lambda: triton(*case), given.leaves),
        "eager PyTorch (dense)": (lambda: dense(*case), given.leaves),
        "torch.compile (dense)": (compiled, given.leaves),
        "eager PyTorch (tiled)": (lambda: tiled(*case), given.leaves),
        f"FlexAttention, {heads} heads of {ATTENTION_DIM}": (lambda: flex(q, k, v), [q, k, v]),
    }


def measure(what: str, given: Problem, device: str) -> list[Measured]:
    """Return the variants' times, interleaved, and memory; a variant that does not fit is left out of the rounds."""
    points = given.query.positions.shape[1]
    times: dict[str, tuple[list[float], list[float], float | None]] = {}
    missing: list[str] = []
    runs = variants(given, device)
    for number in range(1 + ROUNDS if device == "cuda" else 2):
        for name, (run, leaves) in runs.items():
            if name in missing:
                continue

            def both(run: Callable[[], Tensor] = run, leaves: list[Tensor] = leaves) -> None:
                torch.autograd.grad(run().sum(), leaves, allow_unused=True)

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
                if isinstance(error, RuntimeError) and name == "triton":
                    raise
                print(f"{name} at N = {points}: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
                missing.append(name)
                if device == "cuda":
                    torch.cuda.empty_cache()
    rows = [
        Measured(what, points, name, 1e3 * median(f), 1e3 * median(b), peak, given.operations)
        for name, (f, b, peak) in times.items()
        if name not in missing
    ]
    blank = Measured(what, points, "", None, None, None, given.operations)
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


def main(device: str) -> None:
    """Check, measure, and write the page."""
    interpreting = device == "cpu"
    evaluator = TritonEvaluator(interpret=interpreting)
    found = []
    for name, dtype, sums, gradients in errors(device, evaluator):
        found.append((name, dtype, sums, gradients))
        word = "WRONG" if max(sums, gradients) > ALLOWED[dtype] else "ok"
        print(f"{word:6}{dtype!s:16}{name:24}sums {sums:.1e}  gradients {gradients:.1e}", flush=True)
    bad = [row for row in found if max(row[2], row[3]) > ALLOWED[row[1]]]
    size = 64 if interpreting else 8192
    rate = matrix_rate(device, size)
    rows: list[Measured] = []
    for points in (40,) if interpreting else (2048, 8192, 32768):
        for normalization in ("none", "softmax"):
            for head_dim in (16,) if interpreting else (16, 64):
                for dtype in (torch.bfloat16, torch.float32):
                    given = problem(points, dtype, device, head_dim=head_dim, normalization=normalization)
                    what = f"{str(dtype).removeprefix('torch.')}, {normalization}, 4 heads of {head_dim}"
                    rows += measure(what, given, device)
    name = torch.cuda.get_device_name() if device == "cuda" else "Triton's interpreter: times mean nothing"
    lines = page(name, size, rate, found, rows)
    print("\n".join(lines))
    if not interpreting:
        (HERE / "gpu.md").write_text("\n".join(lines) + "\n")
        data = {"device": name, "matrix_rate": rate, "rows": [asdict(row) for row in rows]}
        data["errors"] = [(case, str(dtype), sums, gradients) for case, dtype, sums, gradients in found]
        (HERE / "gpu.json").write_text(json.dumps(data, indent=1) + "\n")
    if bad:
        sys.exit(f"{len(bad)} of {len(found)} cases are off by more than is allowed")


def page(
    device: str, size: int, rate: float, found: list[tuple[str, torch.dtype, float, float]], rows: list[Measured]
) -> list[str]:
    """Return the page's lines."""
    lines = [
        "# The evaluator triton on a GPU",
        "",
        f"`python benchmarks/gpu.py` on {device}; {provenance()}. A product of {size}² bf16 matrices:"
        f" {rate / 1e12:.3g} TFLOP/s. One sample of N points in the plane, hidden 32, rank 16, 8 frequencies, ReLU."
        f" Medians of {ROUNDS} interleaved runs in one process, after one that compiles. Rates count the operations"
        " that the sums need, once forward and three times forward + backward, whatever is recomputed.",
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
        "Relative errors against `dense` in float64:",
        "",
        "| dtype | of the sums | of a gradient | allowed |",
    ]
    lines.append("|---|---|---|---|")
    for dtype, allowed in ALLOWED.items():
        worst = [max(each) for each in zip(*(row[2:] for row in found if row[1] == dtype), strict=True)]
        lines.append(f"| {str(dtype).removeprefix('torch.')} | {worst[0]:.1e} | {worst[1]:.1e} | {allowed:.0e} |")
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
