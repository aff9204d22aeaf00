"""Kernels whose gates read the state: what an LSTM's and a GRU's have in common."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Field, FieldError, Kernel, Problem, ShapeError, State, Support
from itnet_core.operator.points import take
from itnet_core.operator.transforms import transform_of
from itnet_kernels.recurrent.cells import GRUCell, LSTMCell
from itnet_kernels.numerics.newton import previous_states, solve
from itnet_kernels.numerics.scan import scan
from itnet_kernels.numerics.timeline import in_order, ordered_alone, potentials
from itnet_kernels.numerics.weights import apply_weights

log = logging.getLogger(__name__)

PathState = tuple[Tensor, ...]
"""The state of a path at one time: (h, c) of an LSTM, (h,) of a GRU, (B, hidden) each. The last is the integral."""


class RecurrentKernel(Kernel[Any, Any]):
    """k_h(t, s) = (∏_{r=s+1..t} a_r) b_s for each channel h of the state, with gates a and b that read h_{s−1}.

    The kernel carries the value itself, so the values that are integrated are 1. The equation is implicit in its
    result, a Volterra equation (docs/operator.md, §4): `project` solves it for the state's path, step by step as torch does or
    in parallel over time by Newton's method, and gives its terms, the potentials L_t = Σ_{s≤t} log a_s and b.

    Points are ordered by their place on one axis, wherever they stand in the field; those of weight 0 are not on the
    path. A query point has the state at the last key point at or before it, and 0 before the first.

    Attributes:
        recurrence: torch's own layer, which holds the weights.
        parts: how many tensors a `PathState` has.
    """

    measure = "counting"
    scans = True

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            hidden: channels of the state; as many as the fields have by default.
            bias: whether the gates have one.
            axis: the axis of time: a letter of t, x, y, z for positions in R^4, or a coordinate's number.
            solver: `step` goes from point to point; `newton` solves for all points at once, in few sweeps of many more
                operations: for accelerators and long paths of few channels. It steps where it does not converge.
            tolerance: Newton's largest residual, relative to the state.
            max_iterations: Newton's sweeps before it gives up.
        """

        hidden: PositiveInt | None = None
        bias: bool = True
        axis: str | int = "t"
        solver: Literal["step", "newton"] = "step"
        tolerance: PositiveFloat = 1e-6
        max_iterations: PositiveInt = 64

    recurrence: nn.LSTM | nn.GRU
    parts: ClassVar[int]

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Return whether points differ in time alone."""
        return ordered_alone(config.axis, axes)

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads = dim if c.hidden is None else c.hidden
        self.support = Support(causal=c.axis)

    @abstractmethod
    def cell(self, values: Tensor) -> LSTMCell | GRUCell:
        """Return the step at inputs of shape (B, T, dim)."""

    def value_dim(self, dim: int) -> int:
        """Return 1."""
        return 1

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the map to 1, (B, M, hidden, 1)."""
        return _Ones(self.heads)

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return the map of channels that are heads, (B, N, hidden, 1), to (B, N, hidden).

        Raises:
            ShapeError: `dim` is not `hidden`.
        """
        if head_dim * self.heads != dim:
            raise ShapeError(
                type(self).__name__,
                found=f"a result of {dim} channels",
                expected=f"hidden = {self.heads}",
                hint=f"Give the operator out_dim={self.heads}, or the kernel hidden={dim}.",
            )
        return nn.Flatten(-2)

    @property
    def pair_width(self) -> int:
        """Twice a head's exponent in float64 and the result."""
        return 5 * self.heads

    def project(self, query: Field, key: Field, start: PathState | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return L, (B, N, hidden), and L and b, (B, M, hidden) each; the potentials are in float64.

        Args:
            query: points at which the state is asked for; their values play no part.
            key: the points of the path.
            start: the state before them; 0 by default. The gates read it; what it adds to the integral, e^{L_t} times
                its last tensor, is a term beside the integral.

        Raises:
            FieldError: two points of the path have one time.
        """
        times = self.times(key.positions)
        order = self.order(times, key.weights)
        values = taken(order, key.values)
        start = self.initial_state(values) if start is None else start
        hidden, _ = self.path(values, start)
        log_decay, drive = self.cell(values).integrand(previous_states(hidden, start[0]))
        if order is not None:
            log_decay, drive = (taken(order.argsort(-1), tensor) for tensor in (log_decay, drive))
        there = (key.weights > 0).to(key.weights.dtype)  # a gate is passed once, whatever the point weighs
        at_query, at_key = potentials(log_decay, self.times(query.positions), times, there)
        return at_query, (at_key, drive)

    def tile(self, query_terms: Tensor, key_terms: tuple[Tensor, Tensor]) -> Tensor:
        """Return e^{L_t − L_s} b_s, (B, hidden, n, m)."""
        potential, drive = key_terms
        exponent = query_terms.transpose(1, 2).unsqueeze(-1) - potential.transpose(1, 2).unsqueeze(-2)
        # Positive only for s after t, outside of the support.
        return exponent.to(drive.dtype).clamp(max=0).exp() * drive.transpose(1, 2).unsqueeze(-2)

    def integrate(self, problem: Problem[Any]) -> Tensor:
        """Return the integral by a scan over the key points in the order of time."""
        potential, drive = problem.key_terms
        increments = apply_weights(drive, problem.key).unsqueeze(-1) * problem.values
        times, at = self.times(problem.key.positions), self.times(problem.query.positions)
        if bool((times.diff(dim=-1) < 0).any()):
            times, order = times.sort(dim=-1)
            potential, increments = taken(order, potential), taken(order, increments)
        decay = (potential - previous_states(potential, potential[:, 0])).to(drive.dtype).clamp(max=0).exp()
        states = scan(decay.unsqueeze(-1), increments)
        if times.shape == at.shape and torch.equal(times, at):
            return states
        last = torch.searchsorted(times, at.to(times.dtype).contiguous(), right=True) - 1
        reached, last = last >= 0, last.clamp(min=0)
        decay = (problem.query_terms - taken(last, potential)).to(drive.dtype).clamp(max=0).exp() * reached.unsqueeze(
            -1
        )
        return decay.unsqueeze(-1) * taken(last, states)

    def step(self, state: State, query: Field, values: Tensor) -> tuple[State, Tensor]:
        """Return the state after one more point, and the integral there; see `Kernel.step`.

        The state is the path's, and the integral so far, (B, hidden, head_dim). A point of weight 0 changes neither.
        """
        if state is None:
            state = self.initial_state(query.values), values.new_zeros(len(values), self.heads, values.shape[-1])
        start, integral = state
        cell = self.cell(query.values)
        log_decay, drive = (part.squeeze(1) for part in cell.integrand(start[0].unsqueeze(1)))
        after = cell(torch.cat(start, dim=-1).unsqueeze(1)).squeeze(1).chunk(self.parts, dim=-1)
        weight = query.weights.to(drive.dtype)
        increment = (weight * drive).unsqueeze(-1) * values.squeeze(1)
        present = weight > 0
        after = tuple(torch.where(present, new, old) for new, old in zip(after, start, strict=True))
        decayed = torch.where(present, log_decay, 0.0).exp().unsqueeze(-1) * integral
        return (after, decayed + increment), (decayed + increment).unsqueeze(1)

    def states(self, query: Field, key: Field, start: PathState | None = None) -> tuple[Tensor, PathState]:
        """Return h at the last key point at or before each query point, (B, N, hidden), and the state after all.

        Nothing is integrated: this is the solver's own path.
        """
        order = self.order(self.times(key.positions), key.weights)
        values = taken(order, key.values)
        start = self.initial_state(values) if start is None else start
        hidden, end = self.path(values, start)
        present = key.mask
        if not bool(present.all()):
            end = self._end(values, hidden, start, present.sum(-1))
        if order is None and in_order(query.points, key.points, self.support):
            return hidden, end
        times = taken(order, self.times(key.positions).masked_fill(~present, torch.inf))
        count = torch.searchsorted(times, self.times(query.positions).to(times.dtype).contiguous(), right=True)
        return taken(count, torch.cat([start[0].unsqueeze(1), hidden], dim=1)), end

    def path(self, values: Tensor, start: PathState) -> tuple[Tensor, PathState]:
        """Return h_1 … h_T, (B, T, hidden), and the state at T, for inputs (B, T, dim) in the order of time."""
        if transform_of(values):
            return self._stepped(values, start)
        if self.config.solver == "newton":
            states, report = self.solve(values, start)
            if report.converged:
                return states[..., : self.heads], states[:, -1].chunk(self.parts, dim=-1)
            log.warning(
                "%s: Newton's method has a residual of %.1e after %d iterations, over the tolerance %.1e; stepping",
                *(type(self).__name__, report.residual, report.iterations, self.config.tolerance),
            )
        first = tuple(part.unsqueeze(0) for part in start)
        hidden, end = self.recurrence(values, first if self.parts == 2 else first[0])
        return hidden, tuple(part[0] for part in (end if self.parts == 2 else (end,)))

    def solve(self, values: Tensor, start: PathState | None = None) -> tuple[Tensor, SolverReport]:
        """Solve for all states at once by Newton's method, and report how the search ended.

        Args:
            values: inputs in the order of time, (B, T, dim).
            start: the state before them; 0 by default.

        Returns:
            The states, (B, T, parts · hidden), and the report; without convergence, the last guess.
        """
        start = self.initial_state(values) if start is None else start
        tolerance, most = self.config.tolerance, self.config.max_iterations
        return solve(
            self.cell(values), torch.cat(start, dim=-1), values.shape[1], tolerance=tolerance, max_iterations=most
        )

    def _stepped(self, values: Tensor, start: PathState) -> tuple[Tensor, PathState]:
        """As `path`, by the cell alone, which every transform of PyTorch goes through."""
        state, steps = torch.cat(start, dim=-1).unsqueeze(1), []
        for time in range(values.shape[1]):
            state = self.cell(values[:, time : time + 1])(state)
            steps.append(state[..., : self.heads])
        return torch.cat(steps, dim=1), state[:, 0].chunk(self.parts, dim=-1)

    def initial_state(self, values: Tensor) -> PathState:
        """Return the state 0 for inputs (B, ...)."""
        return (values.new_zeros(len(values), self.heads),) * self.parts

    def times(self, positions: Tensor) -> Tensor:
        """Return the coordinate that is time, (B, N)."""
        return positions[..., self.support.causal_axis(positions.shape[-1])]

    def order(self, times: Tensor, weights: Tensor) -> Tensor | None:
        """Return the indices of the points in the order of time, padding last; `None` where they stand so.

        Raises:
            FieldError: two points that are there have one time.
        """
        present = weights > 0
        if bool(present.all()) and bool((times.diff(dim=-1) > 0).all()):
            return None
        ordered, order = times.masked_fill(~present, torch.inf).sort(dim=-1)
        tied = (ordered[:, 1:] == ordered[:, :-1]) & ordered[:, 1:].isfinite()
        if bool(tied.any()):
            sample, first = tied.nonzero()[0].tolist()
            time = float(ordered[sample, first])
            raise FieldError(
                f"{type(self).__name__}: Field.positions",
                found=f"two points of sample {sample} at {time:g} on axis {self.config.axis!r}",
                expected="a time of its own for each point of a path",
                hint="Choose another axis, a kernel that needs no order, or for a model a scan order (scan='raster').",
            )
        return order

    def _end(self, values: Tensor, hidden: Tensor, start: PathState, counts: Tensor) -> PathState:
        """Return the state after so many points, (B,), by its integral: e^{L_n} c_0 + Σ_s e^{L_n − L_s} b_s."""
        log_decay, drive = self.cell(values).integrand(previous_states(hidden, start[0]))
        there = torch.arange(values.shape[1], device=values.device) < counts.unsqueeze(-1)
        potential = log_decay.double().masked_fill(~there.unsqueeze(-1), 0.0).cumsum(1)
        terms = potential, drive * there.unsqueeze(-1)
        integral = self.tile(potential[:, -1:], terms).sum(-1).squeeze(-1)
        integral = integral + potential[:, -1].exp().to(integral.dtype) * start[-1]
        return (taken(counts.unsqueeze(-1) - 1, hidden).squeeze(1), integral)[-self.parts :]


def taken(order: Tensor | None, tensor: Tensor) -> Tensor:
    """Gather points of a tensor (B, M, ...) by their indices (B, n); all in their order for `None`."""
    return tensor if order is None else take(tensor, order)


class _Ones(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, values: Tensor) -> Tensor:
        """Return 1 for each head of each point."""
        return values.new_ones(*values.shape[:2], self.heads, 1)
