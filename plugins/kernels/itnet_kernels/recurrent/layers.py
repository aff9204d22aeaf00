"""LSTM, GRU and RNN layers on fields, composed of integral operators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from itnet_core import ConfigError, Evaluator, Field, IntegralOperator
from itnet_kernels.recurrent.gru import GRUKernel
from itnet_kernels.recurrent.lstm import LSTMKernel
from itnet_kernels.recurrent.recurrent import PathState, RecurrentKernel
from itnet_kernels.recurrent.rnn import RNNKernel


class Recurrent(nn.Module, ABC):
    """Base class of recurrent layers: integral operators one after another, each once in each direction.

    Time orders the points of a field, in whatever order the field lists them; padding is skipped. The backward
    direction is the same operator on negated positions.

    Args:
        dim: channels of the field.
        hidden: channels of the state, in each direction; `dim` by default.
        layers: the number of layers, as `num_layers` in PyTorch.
        bidirectional: whether each layer runs in both directions; their channels are concatenated to `2·hidden`.
        dropout: probability of dropping an element between layers, in training.
        evaluator: how the integrals are computed; `auto` uses the states that the solver computes.
        options: of all kernels: `axis`, `bias`, `solver`, …

    Attributes:
        operators: the operators in the order of PyTorch's states: layer by layer, forward and then backward.
    """

    kernel: ClassVar[type[RecurrentKernel]]

    def __init__(
        self,
        dim: int,
        hidden: int | None = None,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        evaluator: Evaluator | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        hidden = dim if hidden is None else hidden
        self.directions = 2 if bidirectional else 1
        inputs = [dim] + [self.directions * (options.get("projection") or hidden)] * (layers - 1)
        self.operators = nn.ModuleList(
            IntegralOperator(
                channels,
                self.kernel(channels, **{**options, "hidden": hidden}),
                evaluator=evaluator,
                out_dim=hidden,
                pointwise=False,
            )
            for channels in inputs
            for _ in range(self.directions)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, field: Field, states: Sequence[PathState] | None = None) -> Field:
        """Compute the states h at the same points, (B, N, directions · hidden), or `projection` channels for `hidden`.

        Args:
            field: (B, N, dim).
            states: before the first point, one for each operator; 0 by default.
        """
        return self.with_states(field, states)[0]

    def with_states(
        self, field: Field, states: Sequence[PathState] | None = None
    ) -> tuple[Field, tuple[PathState, ...]]:
        """Compute `forward`, and the states after the last point, one for each operator."""
        starts = iter([None] * len(self.operators) if states is None else states)
        operators, ends = iter(self.operators), []
        field = field.without_padding().with_measure("counting")
        for layer in range(len(self.operators) // self.directions):
            field = field.map(self.dropout) if layer else field
            directions = []
            for direction in range(self.directions):
                points = _reversed(field) if direction else field
                hidden, end = self._states(cast(IntegralOperator, next(operators)), points, next(starts))
                directions.append(hidden)
                ends.append(end)
            field = field.with_values(torch.cat(directions, dim=-1))
        return field, tuple(ends)

    def step(self, states: Sequence[PathState] | None, field: Field) -> tuple[tuple[PathState, ...], Field]:
        """Advance a stream by one point: return the new states, and the field of h there, (B, 1, hidden).

        Args:
            states: from the previous step or `with_states`; `None` at the first point.
            field: the new point, (B, 1, dim), later than all before it.

        Raises:
            ConfigError: the layer is bidirectional, so it needs the future.
        """
        if self.directions == 2:
            raise ConfigError(f"{type(self).__name__}.step", found="bidirectional=True", expected="one direction")
        ends: list[PathState] = []
        field = field.without_padding().with_measure("counting")
        for layer, module in enumerate(self.operators):
            field = field.map(self.dropout) if layer else field
            operator = cast(IntegralOperator, module)
            kernel = cast(RecurrentKernel, operator.kernel)
            start = kernel.initial_state(field.values) if states is None else states[layer]
            (end, _), _ = kernel.step((start, start[-1].unsqueeze(-1)), field, operator.value(field.values))
            field = field.with_values(end[0].unsqueeze(1))
            ends.append(end)
        return tuple(ends), field

    def _states(self, operator: IntegralOperator, field: Field, start: PathState | None) -> tuple[Tensor, PathState]:
        """Compute h at the field's points, and the state after the last of them."""
        kernel = cast(RecurrentKernel, operator.kernel)
        if operator.evaluator.takes_fast_paths:  # the path that the gates read is the result
            return kernel.states(field, field, start)
        if start is None:
            integral = operator(field).values
        else:
            problem = kernel.problem(field, field, operator.value(field.values), start=start)
            integral = operator.output(operator.evaluator(problem))
            integral = integral + problem.query_terms.exp().to(integral.dtype) * start[-1].unsqueeze(1)
        hidden = self._finish(kernel, field, start, integral)
        last = kernel.time(field.positions).masked_fill(~field.mask, -torch.inf).argmax(-1)
        rows = torch.arange(len(last), device=last.device)
        return hidden, (hidden[rows, last], integral[rows, last])[-len(kernel.sizes) :]

    @abstractmethod
    def _finish(self, kernel: Any, field: Field, start: PathState | None, integral: Tensor) -> Tensor:
        """Compute h from the integral at the field's points, (B, N, hidden)."""


def _reversed(field: Field) -> Field:
    return Field(field.values, -field.positions, field.weights)


class LSTM(Recurrent):
    """`nn.LSTM` on fields: h_t = W_p (o_t tanh c_t), where c_t is the integral; a state is (h, c).

    Example:
        >>> layer = LSTM(8, hidden=16, layers=2)
        >>> layer(Field.on_grid(torch.randn(1, 50, 8), axes="t")).values.shape
        torch.Size([1, 50, 16])
    """

    kernel = LSTMKernel

    def _finish(self, kernel: LSTMKernel, field: Field, start: PathState | None, integral: Tensor) -> Tensor:
        return kernel.output(field, start, integral)


class GRU(Recurrent):
    """`nn.GRU` on fields: h_t is the integral; a state is (h,), (B, hidden).

    Example:
        >>> layer = GRU(8, bidirectional=True)
        >>> layer(Field.on_grid(torch.randn(1, 50, 8), axes="t")).values.shape
        torch.Size([1, 50, 16])
    """

    kernel = GRUKernel

    def _finish(self, kernel: GRUKernel, field: Field, start: PathState | None, integral: Tensor) -> Tensor:
        return integral


class RNN(GRU):
    """`nn.RNN` on fields: h_t is the integral; a state is (h,), (B, hidden).

    Example:
        >>> layer = RNN(8, relu=True)
        >>> layer(Field.on_grid(torch.randn(1, 50, 8), axes="t")).values.shape
        torch.Size([1, 50, 8])
    """

    kernel = RNNKernel
