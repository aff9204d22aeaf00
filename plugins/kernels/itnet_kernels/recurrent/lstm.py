"""The cell state of an LSTM."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Field
from itnet_kernels.recurrent.cells import LSTMCell
from itnet_kernels.numerics.newton import previous_states
from itnet_kernels.recurrent.recurrent import PathState, RecurrentKernel, taken


class LSTMKernel(RecurrentKernel):
    """k_h(t, s) = (∏_{r=s+1..t} f_r) i_s g_s for each channel: its integral is the cell state c_t (docs/operator.md, §4).

    Gates and weights are those of `nn.LSTM` of one layer and direction (Hochreiter & Schmidhuber, 1997, with the forget
    gate of Gers et al., 2000). The output gate is beside the integral, h_t = o_t tanh c_t: `recurrent_layers.LSTM`
    composes both. The shortcut is a scan of c, once torch's LSTM has found the path of h.
    """

    recurrence: nn.LSTM
    parts = 2

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.recurrence = nn.LSTM(dim, self.heads, bias=self.config.bias, batch_first=True)

    def cell(self, values: Tensor) -> LSTMCell:
        """Return the step at inputs of shape (B, T, dim)."""
        w_ih, w_hh, *biases = self.recurrence.all_weights[0]
        return LSTMCell(F.linear(values, w_ih, biases[0] + biases[1] if biases else None), w_hh)

    def output_gate(self, field: Field, start: PathState | None = None) -> Tensor:
        """Return o at a field's points, (B, N, hidden), of the path through them; see `project`."""
        order = self.order(self.times(field.positions), field.weights)
        values = taken(order, field.values)
        start = self.initial_state(values) if start is None else start
        gate = self.cell(values).output(previous_states(self.path(values, start)[0], start[0]))
        return gate if order is None else taken(order.argsort(-1), gate)
