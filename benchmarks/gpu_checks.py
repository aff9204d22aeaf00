"""Checks of the evaluator `triton` against `dense` in float64: every kind of problem, and every shape of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import nan
from typing import Any

import torch
from gpu_problem import MLPProblem, converted, leaves, random_problem
from torch import Tensor

from itnet_core import DenseEvaluator, Evaluator
from itnet_triton import launch
from itnet_triton.evaluator import TritonEvaluator
from itnet_triton.launch import Shape

ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
"""Relative errors, in the 2-norm of the sums and of each gradient; or 1.5 times those of `dense` in the same dtype."""

SUPPORTS: dict[str, dict[str, Any]] = {
    "every pair": {},
    "causal": {"causal": 0},
    "window": {"window": 0.25},
    "radius": {"radius": 0.3},
    "causal radius": {"causal": 0, "radius": 0.3},
}
LOCAL = "window", "radius", "causal radius"
"""Supports of which near tiles alone are computed."""


@dataclass(frozen=True)
class Case:
    """A check: an activation, normalization, support of `SUPPORTS` and dtype, and maybe a kernel's shape of blocks."""

    dtype: torch.dtype
    normalization: str
    support: str
    activation: str
    shape: tuple[str, Shape] | None = None

    @property
    def name(self) -> str:
        """The case in words."""
        blocks = "" if self.shape is None else f", {self.shape[0]} in blocks {self.shape[1]}"
        return f"{self.activation}, {self.normalization}, {self.support}{blocks}"


@dataclass(frozen=True)
class Checked:
    """The relative error of a case's sums, and the largest of its gradients; likewise for `dense` in the same dtype.

    Attributes:
        repeats: whether two runs agree bit for bit.
    """

    case: Case
    sums: float
    gradients: float
    dense_sums: float
    dense_gradients: float
    repeats: bool

    @classmethod
    def failed(cls, case: Case) -> Checked:
        """Return the check of a case that did not run."""
        return cls(case, nan, nan, nan, nan, repeats=False)

    @property
    def wrong(self) -> bool:
        """Whether an error is beyond `ALLOWED` (NaN too), or a second run gave something else."""
        allowed = ALLOWED[self.case.dtype]
        pairs = (self.sums, self.dense_sums), (self.gradients, self.dense_gradients)
        return not (self.repeats and all(ours <= max(allowed, 1.5 * dense) for ours, dense in pairs))


CASES = [
    Case(dtype, normalization, support, activation)
    for dtype in ALLOWED
    for normalization in ("none", "softmax")
    for support in SUPPORTS
    for activation in (("silu",) if support in LOCAL else ("relu", "silu", "gelu", "tanh"))
]
SHAPES = [
    Case(dtype, "softmax", "every pair", "silu", (name, shape))
    for dtype in ALLOWED
    for name in launch.KERNELS
    for shape in launch.shapes(name, dtype)[1:]
]
"""The shapes that tuning may choose."""


@contextmanager
def only(dtype: torch.dtype, name: str, shape: Shape) -> Iterator[None]:
    """Launch a kernel with one shape of blocks."""
    declared = launch.SINGLE if dtype.itemsize > 2 else launch.HALF
    before = declared[name]
    declared[name] = (shape,)
    try:
        yield
    finally:
        declared[name] = before


def check(case: Case, device: str) -> Checked:
    """Compare a case with `dense` in float64."""
    evaluator = TritonEvaluator(interpret=device == "cpu")
    options: dict[str, Any] = {"normalization": case.normalization, "activation": case.activation}
    wide = 1 if device == "cuda" else 4  # of few points some are near, too
    options["support"] = {name: wide * length for name, length in SUPPORTS[case.support].items()}
    problem = random_problem(1000 if device == "cuda" else 20, case.dtype, device, padding=True, **options)
    expected = solve(converted(problem, torch.float64), DenseEvaluator())
    with nullcontext() if case.shape is None else only(case.dtype, *case.shape):
        first, again = (solve(problem, evaluator) for _ in "12")
    repeats = all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    ours, dense = (
        _errors(results, expected, case.normalization) for results in (first, solve(problem, DenseEvaluator()))
    )
    return Checked(case, *ours, *dense, repeats)


def _errors(found: list[Tensor], expected: list[Tensor], normalization: str) -> tuple[float, float]:
    """Return the relative error of the sums, and the largest of a gradient."""
    if normalization == "softmax":  # a constant added to k changes nothing: the gradient of b_2 is 0
        found, expected = found[:-1], expected[:-1]
    relative = torch.stack([(f - e).norm() / e.norm() for f, e in zip(found, expected, strict=True)])
    return float(relative[0]), float(relative[1:].max())  # NaN where one is


def solve(problem: MLPProblem, evaluator: Evaluator) -> list[Tensor]:
    """Return the sums and all gradients of a fixed linear function of them."""
    out, inputs = evaluator(problem), leaves(problem)
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(out.shape, generator=generator).bfloat16().to(out)
    pairs = zip(inputs, torch.autograd.grad(out, inputs, grad, allow_unused=True), strict=True)
    grads = [torch.zeros_like(x) if g is None else g for x, g in pairs]
    return [out.detach(), *(g[..., 1:] for g in grads[:2]), *grads[2:]]  # the first feature is the constant 1
