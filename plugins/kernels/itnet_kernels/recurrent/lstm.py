"""The cell state of an LSTM."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import Field
from itnet_kernels.numerics.newton import previous_states
from itnet_kernels.recurrent.cells import LSTMCell
from itnet_kernels.recurrent.recurrent import PathState, RecurrentKernel, reorder


class LSTMKernel(RecurrentKernel):
    """LSTM: k_h(t, s) = (∏_{r=s+1..t} f_r) i_s g_s for each channel; the integral is the cell state c_t.

    Gates and weights are those of `nn.LSTM` with one layer and one direction (Hochreiter & Schmidhuber, 1997, with the
    forget gate of Gers et al., 2000, and the projection W_p of Sak et al., arXiv 1402.1128). The output gate and W_p
    are not part of the integral: the layer `LSTM` adds them, h_t = W_p (o_t tanh c_t). `integrate` is a scan of c, on
    the path of h that PyTorch's LSTM computes.

    Example:
        >>> operator = IntegralOperator(8, LSTMKernel(8))
        >>> operator(Field.on_grid(torch.randn(1, 50, 8), axes="t")).values.shape
        torch.Size([1, 50, 8])
    """

    class Config(RecurrentKernel.Config):
        """Sizes of the states, and the solver of their path."""

        projection: PositiveInt | None = None
        """Channels of h after a linear map W_p, fewer than `hidden`; by default there is no such map."""

    def layer(self, dim: int) -> nn.LSTM:
        """Return PyTorch's layer."""
        size = self.config.projection or 0
        return nn.LSTM(dim, self.heads, bias=self.config.bias, batch_first=True, proj_size=size)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The channels of h and c."""
        return self.config.projection or self.heads, self.heads

    def cell(self, values: Tensor) -> LSTMCell:
        """Return the step for inputs of shape (B, T, dim)."""
        w_ih, w_hh, *others = self.recurrence.all_weights[0]
        projection = others.pop() if self.config.projection else None
        return LSTMCell(F.linear(values, w_ih, others[0] + others[1] if others else None), w_hh, projection)

    def output(self, field: Field, start: PathState | None, integral: Tensor) -> Tensor:
        """Compute h from the integral c, (B, N, hidden), at the points of a field and on the path through them."""
        order = self.order(self.time(field.positions), field.weights)
        values = reorder(field.values, order)
        start = self.initial_state(values) if start is None else start
        cell = self.cell(values)
        gate = cell.output(previous_states(self.path(values, start)[0], start[0]))
        return cell.project((gate if order is None else reorder(gate, order.argsort(-1))) * integral.tanh())
