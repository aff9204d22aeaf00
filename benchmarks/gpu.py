"""The evaluator `triton` on an NVIDIA GPU: first whether it is right, then how fast it is.

Run `python benchmarks/gpu.py` on a machine with a GPU; it takes about four minutes and writes `docs/benchmarks/gpu.md`
and `benchmarks/results/gpu.json`. It ends with an error where the kernels are off by more than is allowed. Compiling
takes most of the time, so many processes share it; what is not measured by `DEADLINE` is left out. Without a GPU it
measures nothing;
`TRITON_INTERPRET=1 python benchmarks/gpu.py --interpret` then goes through all its steps on the CPU, on few points.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from math import nan
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch
from provenance import provenance
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from itnet_core import DenseEvaluator, Evaluator, Field, MLPKernel, Points, Support, TiledEvaluator
from itnet_core.operator.mlp import PointTerms
from itnet_triton.evaluator import TritonEvaluator
from itnet_triton.surroundings import interpreted, missing_gpu, missing_package

HERE = Path(__file__).parent
ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
"""Relative errors, in the 2-norm of the sums and of each gradient; or 1.5 times those of `dense` in the same dtype."""
ROUNDS = 10
SECONDS = 1.5
"""Time that the rounds of one variant may take; at least three are run."""
ATTENTION_DIM = 64
WORKERS = 12
"""Processes that check and compile, each with a context of its own on the GPU."""
DEADLINE = 200
"""Seconds after which nothing more is measured; half of it is the most that compiling ahead may take."""


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
        return [self.query.terms.features, self.key.terms.features, self.values, *parameters]

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
        wide = torch.promote_types(dtype, torch.float32)

        def side(points: Points) -> Points:
            features = points.terms.features.detach().to(dtype, copy=True).requires_grad_()
            return points._replace(terms=PointTerms(features, points.terms.positions.to(wide)))

        values = self.values.detach().to(dtype, copy=True).requires_grad_()
        return Problem(kernel, side(self.query), side(self.key), values)


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
    query, key = (Points(terms, field.positions, field.weights.to(dtype)) for terms in kernel.project(field, field))
    return Problem(kernel, query, key, torch.randn(1, points, kernel.heads, head_dim, device=device)).to(dtype)


def solve(given: Problem, evaluator: Evaluator) -> list[Tensor]:
    """Return the sums and all gradients of a fixed linear function of them."""
    out = evaluator(given.kernel, given.query, given.key, given.values)
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(out.shape, generator=generator).bfloat16().to(out)
    found = torch.autograd.grad(out, given.leaves, grad, allow_unused=True)
    pairs = zip(given.leaves, found, strict=True)
    grads = [torch.zeros_like(each) if g is None else g for each, g in pairs]
    return [out.detach(), *(g[..., 1:] for g in grads[:2]), *grads[2:]]  # the first feature is the constant 1


@dataclass(frozen=True)
class Case:
    """A check: an activation, normalization, support and dtype."""

    dtype: torch.dtype
    normalization: str
    causal: bool
    activation: str

    @property
    def name(self) -> str:
        """The case in words."""
        return f"{self.activation}, {self.normalization}{', causal' if self.causal else ''}"


@dataclass(frozen=True)
class Checked:
    """The relative error of a case's sums, and the largest of its gradients; beside those of `dense` in the same dtype.

    Attributes:
        repeats: whether two runs agree bit for bit.
    """

    case: Case
    sums: float
    gradients: float
    dense_sums: float
    dense_gradients: float
    repeats: bool

    @property
    def wrong(self) -> bool:
        """Whether an error is beyond `ALLOWED` (NaN too), or a second run gave something else."""
        allowed = ALLOWED[self.case.dtype]
        pairs = (self.sums, self.dense_sums), (self.gradients, self.dense_gradients)
        return not (self.repeats and all(ours <= max(allowed, 1.5 * dense) for ours, dense in pairs))


CASES = [
    Case(dtype, normalization, causal, activation)
    for dtype in ALLOWED
    for normalization in ("none", "softmax")
    for causal in (False, True)
    for activation in ("relu", "silu", "gelu", "tanh")
]


def check(case: Case, device: str) -> Checked:
    """Compare a case with `dense` in float64."""
    evaluator = TritonEvaluator(interpret=device == "cpu")
    options: dict[str, Any] = {"normalization": case.normalization, "activation": case.activation}
    if case.causal:
        options["support"] = Support(causal=0)
    given = problem(1000 if device == "cuda" else 20, case.dtype, device, padding=True, **options)
    expected, found, again = solve(given.to(torch.float64), DenseEvaluator()), *(solve(given, evaluator) for _ in "12")
    repeats = all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
    ours, dense = (_errors(each, expected, case.normalization) for each in (found, solve(given, DenseEvaluator())))
    return Checked(case, *ours, *dense, repeats)


def _errors(found: list[Tensor], expected: list[Tensor], normalization: str) -> tuple[float, float]:
    """Return the relative error of the sums, and the largest of a gradient."""
    if normalization == "softmax":  # a constant beside k changes nothing: the gradient of b_2 is 0
        found, expected = found[:-1], expected[:-1]
    relative = torch.stack([(f - e).norm() / e.norm() for f, e in zip(found, expected, strict=True)])
    return float(relative[0]), float(relative[1:].max())  # NaN where one is


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


@dataclass(frozen=True)
class Setting:
    """What is measured: a number of points, a dtype, a normalization and the channels of a head."""

    points: int
    dtype: torch.dtype
    normalization: str
    head_dim: int

    @property
    def name(self) -> str:
        """The setting in words."""
        return f"{str(self.dtype).removeprefix('torch.')}, {self.normalization}, 4 heads of {self.head_dim}"

    def problem(self, device: str) -> Problem:
        """Return the problem."""
        return problem(self.points, self.dtype, device, head_dim=self.head_dim, normalization=self.normalization)


def settings(device: str) -> list[Setting]:
    """Return the settings to measure, the most telling first."""
    interpreting = device == "cpu"
    return [
        Setting(points, dtype, normalization, head_dim)
        for head_dim in ((16,) if interpreting else (16, 64))
        for points in ((40,) if interpreting else (2048, 8192, 32768))
        for normalization in ("none", "softmax")
        for dtype in (torch.bfloat16, torch.float32)
    ]


def variants(setting: Setting, given: Problem, device: str) -> dict[str, tuple[Callable[[], Tensor], list[Tensor]]]:
    """Return the ways to the sums, each with what gradients are taken to; attention has the sums' operations.

    What they do hardly depends on the values' channels, so tuning and the peers are measured with 16 alone.
    """
    case = (given.kernel, given.query, given.key, given.values)
    triton = TritonEvaluator(interpret=device == "cpu")
    runs: dict[str, tuple[Callable[[], Tensor], list[Tensor]]] = {"triton": (lambda: triton(*case), given.leaves)}
    if setting.head_dim != 16:
        return runs
    tuned = TritonEvaluator(tune=True, interpret=device == "cpu")
    runs["triton, tuned"] = lambda: tuned(*case), given.leaves
    heads = max(1, round(given.operations / setting.points**2 / (4 * ATTENTION_DIM)))  # 2·2·head_dim a pair and head
    shape = 1, heads, setting.points, ATTENTION_DIM
    q, k, v = (torch.randn(shape, dtype=given.values.dtype, device=device, requires_grad=True) for _ in range(3))
    runs[f"attention (SDPA), {heads} heads of {ATTENTION_DIM}"] = (
        lambda: scaled_dot_product_attention(q, k, v),
        [q, k, v],
    )
    dense, tiled = DenseEvaluator(), TiledEvaluator()
    if setting.points <= 8192:  # more pairs do not fit
        runs["eager PyTorch (dense)"] = lambda: dense(*case), given.leaves
        runs["eager PyTorch (tiled)"] = lambda: tiled(*case), given.leaves
    if setting.points <= 2048:  # compiling takes half a minute for each number of points
        backend = "inductor" if device == "cuda" else "eager"
        compiled = torch.compile(lambda: dense(*case), backend=backend, dynamic=False)
        runs["torch.compile (dense)"] = compiled, given.leaves
    return runs


def compile_variant(setting: Setting, name: str, device: str) -> None:
    """Run a variant once, so that the caches on the disk have what it compiles."""
    run, leaves = variants(setting, setting.problem(device), device)[name]
    torch.autograd.grad(run().sum(), leaves, allow_unused=True)


def chosen() -> dict[str, str]:
    """Return the shapes of blocks that tuning chose in this process, by kernel, dtype and kind of problem."""
    from itnet_triton.launch import KERNELS, _tuned

    tuners = {f"{name} {dtype}": _tuned(name, dtype) for name in KERNELS for dtype in ALLOWED}
    return {f"{name} {key}": str(best) for name, tuner in tuners.items() for key, best in tuner.cache.items()}


def _summary(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def measure(setting: Setting, device: str) -> list[Measured]:
    """Return the variants' times, interleaved, and memory; a variant that does not fit is left out of the rounds."""
    given = setting.problem(device)
    runs = variants(setting, given, device)
    times: dict[str, tuple[list[float], list[float], float | None]] = {}
    missing: list[str] = []
    for number in range(1 + ROUNDS if device == "cuda" else 2):
        for name, (run, leaves) in runs.items():
            if name in missing or (number > 3 and sum(map(sum, times[name][:2])) > SECONDS):
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
                print(f"{setting.name}, N = {setting.points}: {name}: {_summary(error)}", file=sys.stderr)
                missing.append(name)
                if device == "cuda":
                    torch.cuda.empty_cache()
    rows = [
        Measured(setting.name, setting.points, name, 1e3 * median(f), 1e3 * median(b), peak, given.operations)
        for name, (f, b, peak) in times.items()
        if name not in missing
    ]
    blank = Measured(setting.name, setting.points, "", None, None, None, given.operations)
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
    """Check, measure, and write the page; a page is also written where the time runs out."""
    begin = time.perf_counter()

    def left() -> float:
        return DEADLINE - (time.perf_counter() - begin)

    interpreting = device == "cpu"
    smallest = [each for each in settings(device) if each.points == settings(device)[0].points]
    with get_context("spawn").Pool(
        2 if interpreting else min(WORKERS, os.cpu_count() or 1), maxtasksperchild=8
    ) as pool:
        checking = [pool.apply_async(check, (case, device)) for case in CASES]
        names = "torch.compile (dense)", "triton, tuned", "triton"
        compiling = {
            (setting, name): pool.apply_async(compile_variant, (setting, name, device))
            for name in names
            for setting in smallest
            if not interpreting and (setting.head_dim == 16) == (name != "triton")
        }
        checked = []
        for case, result in zip(CASES, checking, strict=True):
            try:
                checked.append(result.get(timeout=max(left(), 1)))
            except Exception as error:  # one case that fails to compile must not hide the others
                print(f"{case.dtype} {case.name}: {_summary(error)}", file=sys.stderr, flush=True)
                checked.append(Checked(case, nan, nan, nan, nan, repeats=False))
        print(f"checked after {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
        for (setting, name), ready in compiling.items():
            try:
                ready.get(timeout=max(left() - DEADLINE / 2, 0.1))
            except Exception as error:
                print(f"{setting.name}: compiling {name} ahead: {_summary(error)}", file=sys.stderr, flush=True)
    print(f"compiled after {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    for each in checked:
        word = "WRONG" if each.wrong else "ok"
        again = "" if each.repeats else "  ANOTHER RESULT THE SECOND TIME"
        errors = f"sums {each.sums:.1e}  gradients {each.gradients:.1e}  dense {each.dense_gradients:.1e}{again}"
        print(f"{word:6}{each.case.dtype!s:16}{each.case.name:24}{errors}")
    size = 64 if interpreting else 8192
    rate = matrix_rate(device, size)
    name = torch.cuda.get_device_name() if device == "cuda" else "Triton's interpreter: times mean nothing"
    rows: list[Measured] = []
    for setting in settings(device):
        if left() < 0 and not interpreting:
            print(f"{setting.name}, N = {setting.points}: left out, no time", file=sys.stderr, flush=True)
            continue
        rows += measure(setting, device)
        lines = page(name, size, rate, checked, rows)
        if not interpreting:  # after each setting, so that what was measured is there whatever follows
            (HERE.parent / "docs" / "benchmarks" / "gpu.md").write_text("\n".join(lines) + "\n")
            data = {"device": name, "matrix_rate": rate, "rows": [asdict(row) for row in rows], "shapes": chosen()}
            data["errors"] = [
                asdict(each) | {"case": each.case.name, "dtype": str(each.case.dtype)} for each in checked
            ]
            (HERE / "results" / "gpu.json").write_text(json.dumps(data, indent=1) + "\n")
    print("\n".join(lines))
    print(f"{time.perf_counter() - begin:.0f} s", file=sys.stderr)
    bad = [each for each in checked if each.wrong]
    if bad:
        sys.exit(f"{len(bad)} of {len(checked)} cases are off by more than is allowed")


def page(device: str, size: int, rate: float, checked: list[Checked], rows: list[Measured]) -> list[str]:
    """Return the page's lines."""
    lines = [
        "# Evaluator triton on a GPU",
        "",
        f"`python benchmarks/gpu.py` on {device}; {provenance()}. A product of {size}² bf16 matrices:"
        f" {rate / 1e12:.3g} TFLOP/s. One sample of N points in the plane, hidden 32, rank 16, 8 frequencies, ReLU."
        f" Medians of {ROUNDS} interleaved runs in one process (of three at least where a run is long), after one that"
        " compiles. Rates count the operations that the sums need, once forward and three times forward + backward,"
        " whatever is recomputed.",
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
        " normalizations, every pair and causal, with padding); each was run twice with the same result bit for bit"
        f" in {sum(each.repeats for each in checked)}:",
        "",
        "| dtype | activation | of the sums | of a gradient | of `dense` in that dtype | allowed |",
        "|---|---|---|---|---|---|",
    ]
    for dtype, allowed in ALLOWED.items():
        for relu in (True, False):
            some = [each for each in checked if each.case.dtype == dtype and (each.case.activation == "relu") == relu]
            names = "sums", "gradients", "dense_sums", "dense_gradients"
            worst = [torch.tensor([getattr(each, name) for each in some]).max().item() for name in names]
            lines.append(
                f"| {str(dtype).removeprefix('torch.')} | {'ReLU' if relu else 'smooth'} | {worst[0]:.1e}"
                f" | {worst[1]:.1e} | {worst[2]:.1e}, {worst[3]:.1e} | {allowed:.0e} |"
            )
    lines += ["", "ReLU's derivative jumps: where bf16 rounds an argument to the other side of 0, a gradient is off."]
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
