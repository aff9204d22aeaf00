"""The cell state of an LSTM."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import ComponentConfig, Field
from itnet_kernels.numerics.newton import previous_states
from itnet_kernels.recurrent.cells import LSTMCell
from itnet_kernels.recurrent.recurrent import PathState, RecurrentKernel, reorder


class LSTMKernel(RecurrentKernel):
    """LSTM: k_h(t, s) = (∏_{r=s+1..t} f_r) i_s g_s for each channel; the integral is the cell state c_t.

    Gates and weights are those of `nn.LSTM` with one layer and one direction (Hochreiter & Schmidhuber, 1997, with the
    forget gate of Gers et al., 2000). The output gate is not part of the integral: the layer `LSTM` adds it,
    h_t = o_t tanh c_t. `integrate` is a scan of c, on the path of h that PyTorch's LSTM computes.

    Example:
        >>> operator = IntegralOperator(8, LSTMKernel(8))
        >>> operator(Field.on_grid(torch.randn(1, 50, 8), axes="t")).values.shape
        torch.Size([1, 50, 8])
    """

    recurrence: nn.LSTM
    parts = 2

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.recurrence = nn.LSTM(dim, self.heads, bias=self.config.bias, batch_first=True)

    def cell(self, values: Tensor) -> LSTMCell:
        """Return the step for inputs of shape (B, T, dim)."""
        w_ih, w_hh, *biases = self.recurrence.all_weights[0]
        return LSTMCell(F.linear(values, w_ih, biases[0] + biases[1] if biases else None), w_hh)

    def output_gate(self, field: Field, start: PathState | None = None) -> Tensor:
        """Compute o at a field's points, (B, N, hidden), on the path through them; see `project`."""
        order = self.order(self.time(field.positions), field.weights)
        values = reorder(field.values, order)
        start = self.initial_state(values) if start is None else start
        gate = self.cell(values).output(previous_states(self.path(values, start)[0], start[0]))
        return gate if order is None else reorder(gate, order.argsort(-1))
