"""The evaluator of additive kernels with a smooth activation."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, cast

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveInt
from torch import Tensor

from itnet_core import ComponentConfig, Evaluator, MLPKernel, Problem, Unsupported
from itnet_core.operator.mlp import ACTIVATIONS as ALL
from itnet_quasilinear.additive import Sides, not_additive, separate, with_constant
from itnet_quasilinear.errors import ToleranceError
from itnet_quasilinear.interpolation import LEAST_HALF_WIDTH, STEPS, Activation, Ranges, sup_errors
from itnet_quasilinear.smooth_sums import Interpolation, smooth_sums

logger = logging.getLogger(__name__)

ACTIVATIONS = ("silu", "gelu", "tanh")
MARGIN = 0.25
"""The part of the tolerance that the activation's error may take: the errors of hidden units add up.

It is less where the units' parts cancel, being more than 1 / MARGIN times their sum.
"""

ROUNDING = 64
"""Times the dtype's rounding unit: what sums in that dtype may differ by, whatever the nodes."""


@dataclass(frozen=True)
class Report:
    """Nodes and errors of an evaluation.

    Attributes:
        nodes: for each hidden unit.
        error: of the checked rows, the largest against direct summation, relative to their largest number; the dtype's
            rounding included.
        bound: an estimate, on the safe side, of the largest error of σ over all pairs, relative to the largest |σ|; and
            of σ′, relative to the largest |σ′|, if gradients were asked for: the greater of the two.
        rows: query points of each sample that were checked.
    """

    nodes: int
    error: float
    bound: float
    rows: int


class ChebyshevEvaluator(Evaluator):
    """Sums over an additive MLP kernel's pairs to a tolerance, in O(N · nodes), for smooth activations (docs/operator.md, §2).

    It is for `MLPKernel` with inputs among query, key and displacement, activation silu, gelu or tanh, normalization
    none and every pair in the support. σ(a + b) is interpolated in a at Chebyshev nodes over a's range in each sample
    and hidden unit (`smooth_sums`). As many nodes are taken as make the interpolant of σ as good as asked for between
    the nodes, over the ranges of a and b, and that of σ′ too if gradients are to follow; then some rows are compared
    with direct summation, and more nodes taken if they are not as good, since hidden units may cancel.
    `evaluate_with_report` says what came out.

    It is approximate, so `auto` never takes it: a range that grows in training makes it slower, and at last refuse.
    Second derivatives are refused.
    """

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            tolerance: the error allowed, relative to the largest number of the result, or of a gradient; the rounding
                of the dtype comes on top.
            max_nodes: the most nodes to take.
            rows: query points of each sample that are compared with direct summation, spread evenly.
        """

        tolerance: float = ConfigField(1e-6, gt=0, lt=1)
        max_nodes: int = ConfigField(256, ge=4)
        rows: PositiveInt = 8

    def __init__(self, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.tolerance = self.config.tolerance

    def unsupported(self, problem: Problem[Any]) -> Unsupported | None:
        """Return why the kernel is not additive and smooth, or `None`; the tolerance shows in `evaluate` alone."""
        return not_additive(problem, ACTIVATIONS)

    def evaluate(self, problem: Problem[Any]) -> Tensor:
        """Compute the integral. Gradients reach terms, values, weights and the kernel's own parameters.

        Raises:
            ToleranceError: the tolerance is not reached with `max_nodes`.
        """
        return self.evaluate_with_report(problem)[0]

    @torch.compiler.disable
    def evaluate_with_report(self, problem: Problem[Any]) -> tuple[Tensor, Report]:
        """Compute the integral as `evaluate` does, and report nodes and errors."""
        kernel = cast(MLPKernel, problem.kernel)
        with torch.autocast(problem.values.device.type, enabled=False):
            sides = separate(problem)
            sums, report = self._sums(ALL[kernel.config.activation], sides, problem.key.weights > 0)
            logger.debug("chebyshev: %s for a tolerance of %g", report, self.tolerance)
            return with_constant(sums, sides, problem), report

    def _sums(self, activation: Activation, sides: Sides, present: Tensor) -> tuple[Tensor, Report]:
        a, b = Ranges.of(sides.a, least=LEAST_HALF_WIDTH), Ranges.of(sides.b, present)
        rows = torch.linspace(0, sides.a.shape[1] - 1, min(self.config.rows, sides.a.shape[1])).long()
        exact, cancelled = direct_sums(activation, sides, rows)
        most = MARGIN * self.tolerance
        allowed = max(most / max(1.0, MARGIN * cancelled), min(most, torch.finfo(sides.a.dtype).eps))
        slopes_count = torch.is_grad_enabled() and any(side.requires_grad for side in sides)
        rounding = ROUNDING * torch.finfo(sides.a.dtype).eps
        tried = ""
        for number in (step for step in STEPS if step <= self.config.max_nodes):
            errors = sup_errors(activation, a, b, number)
            bound = max(errors) if slopes_count else errors[0]
            tried = f"an error of {bound:.1e} with {number} nodes"
            if bound > max(allowed, 16 * torch.finfo(torch.float64).eps):
                continue
            sums = smooth_sums(Interpolation(activation, a, number), *sides)
            largest = exact.abs().amax().clamp(min=torch.finfo(exact.dtype).tiny)
            error = float((sums.detach()[:, rows] - exact).abs().amax() / largest)
            if error <= self.tolerance + rounding:
                return sums, Report(number, error, bound, len(rows))
            tried = f"an error of {error:.1e} with {number} nodes"
        raise ToleranceError(
            "ChebyshevEvaluator.tolerance",
            found=f"{tried}, for a range of {2 * float(a.half.amax()):.3g}",
            expected=f"{self.tolerance:.1e} with at most max_nodes = {self.config.max_nodes}",
            hint="Raise the tolerance or max_nodes, or use the evaluator 'tiled'.",
        )


@torch.no_grad()
def direct_sums(activation: Activation, sides: Sides, rows: Tensor) -> tuple[Tensor, float]:
    """Return Σ_c W_c ∘ Σ_j σ(a_ci + b_cj) u_j for some of the query points, by all pairs, (B, rows, d).

    And how many times larger the hidden units' parts are together than what is left of them, of which gradients, too,
    have a like share: what the units' errors are multiplied by.
    """
    out = torch.stack([activation(sides.a[:, i, None] + sides.b).transpose(1, 2) @ sides.weighted for i in rows], dim=1)
    parts = out * sides.second
    sums = parts.sum(2)
    return sums, float(parts.abs().sum(2).amax() / sums.abs().amax().clamp(min=torch.finfo(sums.dtype).tiny))
