"""The state of an RNN."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from itnet_kernels.recurrent.cells import RNNCell
from itnet_kernels.recurrent.gru import GRUKernel


class RNNKernel(GRUKernel):
    """RNN: k_h(t, s) = 1[s = t] h_s for each channel; the integral is the state h_t, which the kernel carries.

    Weights are those of `nn.RNN` with one layer and one direction. It is a GRU with the gates r = 1 and z = 0: nothing
    of the past is in the integral, all of it is in the path that `project` solves for.

    Example:
        >>> operator = IntegralOperator(8, RNNKernel(8, relu=True))
        >>> operator(Field.on_grid(torch.randn(1, 50, 8), axes="t")).values.shape
        torch.Size([1, 50, 8])
    """

    class Config(GRUKernel.Config):
        """Size of the state, its activation, and the solver of its path."""

        relu: bool = False
        """Whether the activation is ReLU; tanh by default."""

    def layer(self, dim: int) -> nn.RNN:
        """Return PyTorch's layer."""
        c, nonlinearity = self.config, "relu" if self.config.relu else "tanh"
        return nn.RNN(dim, self.heads, bias=c.bias, batch_first=True, nonlinearity=nonlinearity)

    def cell(self, values: Tensor) -> RNNCell:
        """Return the step for inputs of shape (B, T, dim)."""
        w_ih, w_hh, *biases = self.recurrence.all_weights[0]
        bias = biases[0] + biases[1] if biases else None
        return RNNCell(F.linear(values, w_ih, bias), w_hh, self.config.relu)
