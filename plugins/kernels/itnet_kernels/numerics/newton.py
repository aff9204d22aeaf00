"""Newton's method for nonlinear recurrences s_t = F_t(s_{t−1}), at all times at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_core import refuse_second_derivatives, refuse_transform

SLACK = 1e-3
"""Distance beyond the reachable states that still counts as rounding."""


class Cell(Protocol):
    """Step F of a recurrence, at all times at once."""

    def __call__(self, previous: Tensor) -> Tensor:
        """Compute F_t(s_{t−1}), (B, T, n), from the states before each time, (B, T, n)."""

    def jacobian(self, previous: Tensor) -> Tensor:
        """Compute ∂F_t / ∂s_{t−1}, (B, T, n, n); it is called without gradients."""

    def starting_at(self, time: int) -> Cell:
        """Return the steps from a time on, counted from 0."""

    def clamp_states(self, states: Tensor, start: Tensor) -> Tensor:
        """Clamp states to those that a path from the start can reach."""


@dataclass(frozen=True)
class SolverReport:
    """Outcome of the search for a solution.

    Attributes:
        residual: max |s_t − F_t(s_{t−1})| / max(1, max |s_t|), over the whole path.
        iterations: Newton steps.
        converged: whether the residual is at most the tolerance.
    """

    residual: float
    iterations: int
    converged: bool


def solve(
    cell: Cell, start: Tensor, steps: int, *, tolerance: float, max_iterations: int
) -> tuple[Tensor, SolverReport]:
    """Solve for the states s_1 … s_T of s_t = F_t(s_{t−1}), and report how the search ended.

    Newton's method on the whole path (DEER, Lim et al., arXiv 2309.12252, §3): with the residual
    r_t = F_t(s_{t−1}) − s_t of a guess, the correction is a linear recurrence, δ_t = J_t δ_{t−1} + r_t, which a scan
    solves in O(log T) steps. Each iteration makes at least one more state exact, and near the solution the number of
    exact digits doubles. Far from it, products of Jacobians may lead to states that no path can reach; from the first
    such time on, an iteration uses F_t(s_{t−1}) instead. States with a small enough residual are corrected once more,
    since their error may be larger than the residual, and then kept while later ones are corrected.

    Gradients are those of the solution, by the implicit function theorem: the adjoint recurrence
    λ_t = g_t + J_{t+1}ᵀ λ_{t+1} by the same scan, and one derivative of F at the solution.

    Args:
        cell: F; it may hold tensors that need gradients.
        start: s_0, (B, n).
        steps: T.
        tolerance: the largest residual, as in `SolverReport`.
        max_iterations: the largest number of iterations.

    Returns:
        The states, (B, T, n), and the report; without convergence, the last guess, without gradients.

    Raises:
        DerivativeError: under `torch.func` or forward-mode differentiation.
    """
    refuse_transform("newton.solve", start, 'Use solver="step".')
    with torch.no_grad():
        states, report = _iterate(cell, start, steps, tolerance, max_iterations)
    if not (report.converged and torch.is_grad_enabled()):
        return states, report
    previous = previous_states(states, start)
    with torch.no_grad():
        jacobian = cell.jacobian(previous)
    return _Implicit.apply(cell(previous), states, jacobian), report


def _iterate(
    cell: Cell, start: Tensor, steps: int, tolerance: float, max_iterations: int
) -> tuple[Tensor, SolverReport]:
    states = start.new_zeros(start.shape[0], steps, start.shape[1])
    solved = 0  # first states that were corrected once more after their residual was small enough
    for iteration in range(max_iterations + 1):
        previous = previous_states(states, start)
        after = cell(previous)
        error = after - states
        scale = tolerance * states.abs().amax().clamp(min=1)
        small = (error.abs() <= scale).all(-1).all(0)
        if solved == steps or iteration == max_iterations:
            break
        rest = slice(solved, None)
        jacobian = cell.starting_at(solved).jacobian(previous[:, rest])
        corrected = states[:, rest] + linear_recurrence(jacobian, error[:, rest])
        bounded = cell.starting_at(solved).clamp_states(corrected, previous[:, solved])
        trusted = ((corrected - bounded).abs() <= SLACK).all(-1, keepdim=True).cumprod(1).bool()  # not for NaN
        states = torch.cat([states[:, :solved], torch.where(trusted, bounded, after[:, rest])], dim=1)
        solved = max(solved, int(small.cumprod(0).sum()))
    residual = float(error.abs().amax() / states.abs().amax().clamp(min=1))
    return states, SolverReport(residual, iteration, residual <= tolerance)


def previous_states(states: Tensor, start: Tensor) -> Tensor:
    """Return s_0 … s_{T−1} from s_1 … s_T, (B, T, ...), and s_0, (B, ...)."""
    return torch.cat([start.unsqueeze(1), states[:, :-1]], dim=1)


def linear_recurrence(matrices: Tensor, offsets: Tensor) -> Tensor:
    """Compute s_t = A_t s_{t−1} + b_t from s_0 = 0, (B, T, n), for A of shape (B, T, n, n) and b of (B, T, n).

    An associative scan by odd-even reduction (Blelloch, "Prefix Sums and Their Applications", 1990): two steps become
    one, A₂A₁ and A₂b₁ + b₂; the recurrence of half the length gives every second state, and one product the others. It
    takes T matrix products, 2 log₂ T of them in sequence.
    """
    steps = offsets.shape[1]
    if steps == 1:
        return offsets
    pairs = steps // 2
    first, second = matrices[:, 0 : 2 * pairs : 2], matrices[:, 1 : 2 * pairs : 2]
    joined = _apply(second, offsets[:, 0 : 2 * pairs : 2]) + offsets[:, 1 : 2 * pairs : 2]
    seconds = linear_recurrence(second @ first, joined)  # s_2, s_4, …, counted from 1
    earlier = F.pad(seconds, (0, 0, 1, 0))[:, : steps - pairs]
    firsts = _apply(matrices[:, ::2], earlier) + offsets[:, ::2]
    states = torch.empty_like(offsets)
    states[:, ::2], states[:, 1::2] = firsts, seconds
    return states


def _apply(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors.unsqueeze(-1)).squeeze(-1)


class _Implicit(torch.autograd.Function):
    """The solution, with the gradient of its equation s_t = F_t(s_{t−1})."""

    @staticmethod
    def forward(ctx: Any, evaluated: Tensor, states: Tensor, jacobian: Tensor) -> Tensor:
        """Return the states; `evaluated` is F at them, and gets the gradients."""
        ctx.save_for_backward(jacobian)
        return states.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        refuse_second_derivatives("newton.solve", grad, 'Use solver="step" for second derivatives.')
        (jacobian,) = ctx.saved_tensors
        # Backward in time, λ_t = J_{t+1}ᵀ λ_{t+1} + g_t; the last state has no successor.
        after = F.pad(jacobian[:, 1:], (0, 0, 0, 0, 0, 1)).mT
        return linear_recurrence(after.flip(1), grad.flip(1)).flip(1), None, None
