"""The evaluator `chebyshev`, for additive kernels with a smooth activation."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, cast

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveInt
from torch import Tensor

from itnet_core import ACTIVATIONS as ALL
from itnet_core import ComponentConfig, Evaluator, MLPKernel, Problem, Unsupported
from itnet_quasilinear.additive import Sides, not_additive, separate, with_constant
from itnet_quasilinear.errors import ToleranceError
from itnet_quasilinear.interpolation import LEAST_HALF_WIDTH, STEPS, Activation, Ranges, sup_errors
from itnet_quasilinear.smooth_sums import Interpolation, smooth_sums

logger = logging.getLogger(__name__)

ACTIVATIONS = ("silu", "gelu", "tanh")
MARGIN = 0.25
"""Share of the tolerance for the error of the activation, since the errors of hidden units add up.

The error allowed is smaller still where the hidden units cancel to less than MARGIN times their parts.
"""

ROUNDING = 64
"""Rounding error allowed for sums, in units of the dtype's epsilon."""


@dataclass(frozen=True)
class ChebyshevReport:
    """Nodes and errors of an evaluation.

    Example:
        >>> kernel = MLPKernel(8, inputs=("query", "key", "displacement"), activation="silu")
        >>> field = Field(torch.randn(1, 500, 8), torch.rand(1, 500, 4))
        >>> [problem] = IntegralOperator(8, kernel).problems(field)
        >>> _, report = ChebyshevEvaluator(tolerance=1e-4).evaluate_with_report(problem)
        >>> report.nodes <= 32, report.error < 1e-4
        (True, True)

    Attributes:
        nodes: number of nodes of each hidden unit.
        error: largest error of the checked rows against direct summation, relative to their largest number; it includes
            the dtype's rounding.
        bound: a conservative estimate of the largest error of σ over all pairs, relative to the largest |σ|; with
            gradients, the larger of this and the same for σ′.
        rows: number of query points of each sample that were checked.
    """

    nodes: int
    error: float
    bound: float
    rows: int


class ChebyshevEvaluator(Evaluator):
    """Sums to a tolerance for an additive MLP kernel with a smooth activation, in O(N · nodes) (docs/operator.md, §2).

    It supports `MLPKernel` with inputs among `query`, `key` and `displacement`, the activations `silu`, `gelu` and
    `tanh`, normalization `none`, and every pair in the support. σ(a + b) is interpolated in a at Chebyshev nodes over
    the range of a, for each sample and hidden unit (`smooth_sums`). The number of nodes is raised until the interpolant
    of σ, and with gradients also that of σ′, meets the tolerance over the ranges of a and b, and until some rows agree
    with direct summation, since hidden units may cancel. `evaluate_with_report` returns the number of nodes and the
    errors.

    Being approximate, it is never chosen by `auto`. In training, a growing range of a makes it slower, and in the end
    raises a `ToleranceError`. Second derivatives are refused.

    Example:
        >>> kernel = MLPKernel(8, inputs=("query", "key", "displacement"), activation="silu")
        >>> operator = IntegralOperator(8, kernel, evaluator=ChebyshevEvaluator(tolerance=1e-4))
        >>> operator(Field(torch.randn(1, 5000, 8), torch.rand(1, 5000, 4))).values.shape
        torch.Size([1, 5000, 8])
    """

    class Config(ComponentConfig):
        """Accuracy."""

        tolerance: float = ConfigField(1e-6, gt=0, lt=1)
        """Largest error, relative to the largest number of a result or a gradient; the dtype's rounding is added."""
        max_nodes: int = ConfigField(256, ge=4)
        """Largest number of nodes."""
        rows: PositiveInt = 8
        """Query points of each sample to compare with direct summation, evenly spread."""

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.tolerance = self.config.tolerance

    def unsupported(self, problem: Problem) -> Unsupported | None:
        """Return why the kernel is not additive and smooth, or `None` if it is; `evaluate` checks the tolerance."""
        return not_additive(problem, ACTIVATIONS)

    def is_opaque(self, problem: Problem) -> bool:
        """Return `True`: ranges and errors are read."""
        return True

    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral. Gradients reach terms, values, weights and the kernel's own parameters.

        Raises:
            ToleranceError: `max_nodes` do not meet the tolerance.
        """
        return self.evaluate_with_report(problem)[0]

    def evaluate_with_report(self, problem: Problem) -> tuple[Tensor, ChebyshevReport]:
        """Compute the integral, and report nodes and errors; raises as `evaluate`."""
        kernel = cast(MLPKernel, problem.kernel)
        with torch.autocast(problem.values.device.type, enabled=False):
            sides = separate(problem)
            sums, report = self._sums(ALL[kernel.config.activation], sides, problem.key.weights > 0)
            logger.debug("chebyshev: %s for a tolerance of %g", report, self.tolerance)
            return with_constant(sums, sides, problem), report

    def _sums(self, activation: Activation, sides: Sides, present: Tensor) -> tuple[Tensor, ChebyshevReport]:
        a, b = Ranges.of(sides.a, least=LEAST_HALF_WIDTH), Ranges.of(sides.b, present)
        rows = torch.linspace(0, sides.a.shape[1] - 1, min(self.config.rows, sides.a.shape[1])).long()
        exact, cancelled = direct_sums(activation, sides, rows)
        most = MARGIN * self.tolerance
        allowed = max(most / max(1.0, MARGIN * cancelled), min(most, torch.finfo(sides.a.dtype).eps))
        with_slopes = torch.is_grad_enabled() and any(side.requires_grad for side in sides)
        rounding = ROUNDING * torch.finfo(sides.a.dtype).eps
        tried = ""
        for number in (step for step in STEPS if step <= self.config.max_nodes):
            errors = sup_errors(activation, a, b, number)
            bound = max(errors) if with_slopes else errors[0]
            tried = f"an error of {bound:.1e} with {number} nodes"
            if bound > max(allowed, 16 * torch.finfo(torch.float64).eps):
                continue
            sums = smooth_sums(Interpolation(activation, a, number), *sides)
            largest = exact.abs().amax().clamp(min=torch.finfo(exact.dtype).tiny)
            error = float((sums.detach()[:, rows] - exact).abs().amax() / largest)
            if error <= self.tolerance + rounding:
                return sums, ChebyshevReport(number, error, bound, len(rows))
            tried = f"an error of {error:.1e} with {number} nodes"
        raise ToleranceError(
            "ChebyshevEvaluator.tolerance",
            found=f"{tried}, for a range of {2 * float(a.half.amax()):.3g}",
            expected=f"{self.tolerance:.1e} with at most max_nodes = {self.config.max_nodes}",
            hint="Raise the tolerance or max_nodes, or use the evaluator 'tiled'.",
        )


@torch.no_grad()
def direct_sums(activation: Activation, sides: Sides, rows: Tensor) -> tuple[Tensor, float]:
    """Compute Σ_c W_c ∘ Σ_j σ(a_ci + b_cj) u_j at some query points from all pairs, (B, rows, d), and the cancellation.

    The cancellation is the sum of the hidden units' absolute parts divided by the absolute result. Errors of the units,
    in gradients too, are amplified by about this factor.
    """
    out = torch.stack([activation(sides.a[:, i, None] + sides.b).transpose(1, 2) @ sides.weighted for i in rows], dim=1)
    parts = out * sides.second
    sums = parts.sum(2)
    return sums, float(parts.abs().sum(2).amax() / sums.abs().amax().clamp(min=torch.finfo(sums.dtype).tiny))
