"""Base class of the kernels of LSTM, GRU and RNN, whose gates read the state."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import Any, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from itnet_core import ComponentConfig, Field, FieldError, Problem, ShapeError, gather_points
from itnet_core.operator.transforms import EXPORT, transform_of
from itnet_kernels.causal import CausalKernel
from itnet_kernels.numerics.newton import SolverReport, previous_states, solve
from itnet_kernels.numerics.scan import scan
from itnet_kernels.numerics.timeline import in_order, potentials
from itnet_kernels.numerics.weights import apply_weights
from itnet_kernels.recurrent.cells import GRUCell, LSTMCell, RNNCell

logger = logging.getLogger(__name__)

PathState = tuple[Tensor, ...]
"""State of a path at one time: (h, c) of an LSTM, (h,) of others, (B, hidden) each. The last one is the integral."""
StreamState = tuple[PathState, Tensor]
"""State of a stream: the path's state, and the integral so far, (B, hidden, head_dim)."""


class RecurrentKernel(CausalKernel[Any, StreamState]):
    """Base class of recurrences: k_h(t, s) = (∏_{r=s+1..t} a_r) b_s for each channel h, with gates that read h_{s−1}.

    The kernel carries the value itself, so the integrated values are 1. The equation is implicit in its result, a
    Volterra equation (docs/operator.md, §4): `project` solves it for the path of the state, point by point as PyTorch
    does or in parallel over time by Newton's method. Its terms are the potentials L_t = Σ_{s≤t} log a_s, and b.

    The coordinate on one axis orders the points, in whatever order the field lists them; padding is not on the path. A
    query point has the state of the last key point at or before it, and 0 before the first. `integrate` is a scan.

    Args:
        dim: channels of the fields.
        config: an instance of `Config`; its fields may also be given as keyword arguments.

    Attributes:
        recurrence: PyTorch's own layer, which holds the weights.
    """

    class Config(CausalKernel.Config):
        """Size of the state, and the solver of its path."""

        hidden: PositiveInt | None = None
        """Channels of the state; as many as the fields have by default."""
        bias: bool = True
        """Whether the gates have a bias."""
        solver: Literal["step", "newton"] = "step"
        """`step` computes one point after the other; `newton` all points at once, in few iterations of many more
        operations, for accelerators and long paths of few channels. It falls back to `step` if it does not converge."""
        tolerance: PositiveFloat = 1e-6
        """Largest residual of Newton's method, relative to the state."""
        max_iterations: PositiveInt = 64
        """Largest number of Newton's iterations."""

    recurrence: nn.RNNBase

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.heads = dim if self.config.hidden is None else self.config.hidden
        self.recurrence = self.layer(dim)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The channels of the tensors of a `PathState`."""
        return (self.heads,)

    @abstractmethod
    def layer(self, dim: int) -> nn.RNNBase:
        """Return PyTorch's layer, which holds the weights."""

    @abstractmethod
    def cell(self, values: Tensor) -> LSTMCell | GRUCell | RNNCell:
        """Return the step for inputs of shape (B, T, dim)."""

    def value_dim(self, dim: int) -> int:
        """Return 1."""
        return 1

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the map to ones, (B, M, hidden, 1)."""
        return _Ones(self.heads)

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return the view of heads as channels, (B, N, hidden, 1) → (B, N, hidden).

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
        """Two exponents in float64 and the result, for each head."""
        return 5 * self.heads

    @property
    def opaque(self) -> bool:
        """Whether `torch.compile` traces PyTorch's recurrent layers, step by step; otherwise they break the graph."""
        return torch._dynamo.config.allow_rnn

    def project(self, query: Field, key: Field, start: PathState | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Compute L, (B, N, hidden), and L and b, (B, M, hidden) each; the potentials are in float64.

        Args:
            query: the points to evaluate the state at; their values are not used.
            key: the points of the path.
            start: the state before them; 0 by default. The gates read it; its contribution to the integral, e^{L_t}
                times its last tensor, is not part of the kernel.

        Raises:
            FieldError: two points of the path have the same time.
        """
        times = self.time(key.positions)
        order = self.order(times, key.weights)
        values = reorder(key.values, order)
        start = self.initial_state(values) if start is None else start
        hidden, _ = self.path(values, start)
        log_decay, drive = self.cell(values).integrand(previous_states(hidden, start[0]))
        if order is not None:
            log_decay, drive = (reorder(tensor, order.argsort(-1)) for tensor in (log_decay, drive))
        mask = key.mask.to(key.weights.dtype)  # a gate is passed once, whatever the point's weight
        query_levels, key_levels = potentials(log_decay, self.time(query.positions), times, mask)
        return query_levels, (key_levels, drive)

    def tile(self, query_terms: Tensor, key_terms: tuple[Tensor, Tensor]) -> Tensor:
        """Compute e^{L_t − L_s} b_s, (B, hidden, n, m)."""
        levels, drive = key_terms
        exponent = query_terms.transpose(1, 2).unsqueeze(-1) - levels.transpose(1, 2).unsqueeze(-2)
        # Positive only for s after t, outside of the support.
        return exponent.to(drive.dtype).clamp(max=0).exp() * drive.transpose(1, 2).unsqueeze(-2)

    def can_integrate(self, problem: Problem) -> bool:
        """Return `True`: points in any order, and other query points, are looked up in the path."""
        return True

    def integrate(self, problem: Problem) -> Tensor:
        """Compute the integral by a scan over the key points in the order of time."""
        levels, drive = problem.key_terms
        increments = apply_weights(drive, problem.key).unsqueeze(-1) * problem.values
        times, query_times = self.time(problem.key.positions), self.time(problem.query.positions)
        if bool((times.diff(dim=-1) < 0).any()):
            times, order = times.sort(dim=-1)
            levels, increments = reorder(levels, order), reorder(increments, order)
        decay = (levels - previous_states(levels, levels[:, 0])).to(drive.dtype).clamp(max=0).exp()
        states = scan(decay.unsqueeze(-1), increments)
        if times.shape == query_times.shape and torch.equal(times, query_times):
            return states
        last = torch.searchsorted(times, query_times.to(times.dtype).contiguous(), right=True) - 1
        reached, last = last >= 0, last.clamp(min=0)
        decay = (problem.query_terms - gather_points(levels, last)).to(drive.dtype).clamp(max=0).exp()
        return (decay * reached.unsqueeze(-1)).unsqueeze(-1) * gather_points(states, last)

    def step(self, state: StreamState | None, query: Field, values: Tensor) -> tuple[StreamState, Tensor]:
        """Advance a stream; the state is the path's, and the integral so far. Padding changes neither."""
        if state is None:
            state = self.initial_state(query.values), values.new_zeros(values.shape[0], self.heads, values.shape[-1])
        start, integral = state
        cell = self.cell(query.values)
        log_decay, drive = (part.squeeze(1) for part in cell.integrand(start[0].unsqueeze(1)))
        after = cell(torch.cat(start, dim=-1).unsqueeze(1)).squeeze(1).split_with_sizes(self.sizes, dim=-1)
        weight = query.weights.to(drive.dtype)
        increment = (weight * drive).unsqueeze(-1) * values.squeeze(1)
        present = weight > 0
        after = tuple(torch.where(present, new, old) for new, old in zip(after, start, strict=True))
        decayed = torch.where(present, log_decay, 0.0).exp().unsqueeze(-1) * integral
        return (after, decayed + increment), (decayed + increment).unsqueeze(1)

    def states(self, query: Field, key: Field, start: PathState | None = None) -> tuple[Tensor, PathState]:
        """Solve for h at the last key point at or before each query point, (B, N, hidden), and for the state after all.

        This is the solver's own path, without an integral.
        """
        order = self.order(self.time(key.positions), key.weights)
        values = reorder(key.values, order)
        start = self.initial_state(values) if start is None else start
        hidden, end = self.path(values, start)
        present = key.mask
        if not bool(present.all()):
            end = self._state_after(values, hidden, start, present.sum(-1))
        if order is None and in_order(query.points, key.points, self.support):
            return hidden, end
        times = reorder(self.time(key.positions).masked_fill(~present, torch.inf), order)
        count = torch.searchsorted(times, self.time(query.positions).to(times.dtype).contiguous(), right=True)
        return gather_points(torch.cat([start[0].unsqueeze(1), hidden], dim=1), count), end

    def path(self, values: Tensor, start: PathState) -> tuple[Tensor, PathState]:
        """Compute h_1 … h_T, (B, T, hidden), and the state at T, for inputs (B, T, dim) in the order of time."""
        if transform_of(values) not in ("", EXPORT):
            return self._path_by_cell(values, start)
        if self.config.solver == "newton":
            states, report = self.solve(values, start)
            if report.converged:
                return states[..., : self.sizes[0]], states[:, -1].split_with_sizes(self.sizes, dim=-1)
            logger.warning(
                "%s: Newton's method has a residual of %.1e after %d iterations, over the tolerance %.1e; stepping",
                *(type(self).__name__, report.residual, report.iterations, self.config.tolerance),
            )
        first = tuple(part.unsqueeze(0) for part in start)
        hidden, end = self.recurrence(values, first if len(first) == 2 else first[0])
        return hidden, tuple(part[0] for part in (end if len(first) == 2 else (end,)))

    def solve(self, values: Tensor, start: PathState | None = None) -> tuple[Tensor, SolverReport]:
        """Solve for all states at once by Newton's method, and report how the search ended.

        Example:
            >>> from itnet_kernels import GRUKernel
            >>> states, report = GRUKernel(4).solve(torch.randn(1, 50, 4))
            >>> states.shape, report.converged
            (torch.Size([1, 50, 4]), True)

        Args:
            values: inputs in the order of time, (B, T, dim).
            start: the state before them; 0 by default.

        Returns:
            The states, (B, T, sum of `sizes`), and the report; without convergence, the last guess.
        """
        start = self.initial_state(values) if start is None else start
        tolerance, most = self.config.tolerance, self.config.max_iterations
        return solve(
            self.cell(values), torch.cat(start, dim=-1), values.shape[1], tolerance=tolerance, max_iterations=most
        )

    def _path_by_cell(self, values: Tensor, start: PathState) -> tuple[Tensor, PathState]:
        """Compute `path` by the cell alone, which supports every transform of PyTorch."""
        state, steps = torch.cat(start, dim=-1).unsqueeze(1), []
        for time in range(values.shape[1]):
            state = self.cell(values[:, time : time + 1])(state)
            steps.append(state[..., : self.sizes[0]])
        return torch.cat(steps, dim=1), state[:, 0].split_with_sizes(self.sizes, dim=-1)

    def initial_state(self, values: Tensor) -> PathState:
        """Return a state of zeros for inputs (B, ...)."""
        return tuple(values.new_zeros(values.shape[0], size) for size in self.sizes)

    def order(self, times: Tensor, weights: Tensor) -> Tensor | None:
        """Return the indices of the points in the order of time, padding last; `None` if they are in it.

        Raises:
            FieldError: two points that are not padding have the same time.
        """
        present = weights > 0
        if torch.compiler.is_exporting():  # without reading numbers
            return times.masked_fill(~present, torch.inf).sort(dim=-1)[1]
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
                expected="a different time for each point of a path",
                hint="Choose another axis, a kernel that needs no order, or for a model a scan order (scan='raster').",
            )
        return order

    def _state_after(self, values: Tensor, hidden: Tensor, start: PathState, counts: Tensor) -> PathState:
        """Return the state after `counts` points, (B,), from its integral e^{L_n} c_0 + Σ_s e^{L_n − L_s} b_s."""
        log_decay, drive = self.cell(values).integrand(previous_states(hidden, start[0]))
        mask = (torch.arange(values.shape[1], device=values.device) < counts.unsqueeze(-1)).unsqueeze(-1)
        levels = log_decay.double().masked_fill(~mask, 0.0).cumsum(1)
        integral = self.tile(levels[:, -1:], (levels, drive * mask)).sum(-1).squeeze(-1)
        integral = integral + levels[:, -1].exp().to(integral.dtype) * start[-1]
        return (gather_points(hidden, counts.unsqueeze(-1) - 1).squeeze(1), integral)[-len(self.sizes) :]


def reorder(tensor: Tensor, order: Tensor | None) -> Tensor:
    """Gather points of a tensor (B, M, ...) by their indices (B, n); return the tensor itself for `None`."""
    return tensor if order is None else gather_points(tensor, order)


class _Ones(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, values: Tensor) -> Tensor:
        """Return 1 for each head of each point."""
        return values.new_ones(*values.shape[:2], self.heads, 1)
