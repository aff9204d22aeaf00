"""The state of a GRU."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import Field, Points, differentiated, distinct
from itnet_kernels.recurrent.cells import GRUCell, RNNCell
from itnet_kernels.recurrent.recurrent import RecurrentKernel


class GRUKernel(RecurrentKernel):
    """GRU: k_h(t, s) = (∏_{r=s+1..t} z_r)(1 − z_s) n_s for each channel; the integral is the state h_t.

    Gates and weights are those of `nn.GRU` with one layer and one direction (Cho et al., arXiv 1406.1078, with the
    reset gate after the product, as in PyTorch). `transform` is PyTorch's GRU; over the nodes of a sampler, `integrate`
    is a scan.

    Example:
        >>> operator = IntegralOperator(8, GRUKernel(8))
        >>> operator(Field.on_grid(torch.randn(1, 50, 8), axes="t")).values.shape
        torch.Size([1, 50, 8])
    """

    def layer(self, dim: int) -> nn.RNNBase:
        """Return PyTorch's layer."""
        return nn.GRU(dim, self.heads, bias=self.config.bias, batch_first=True)

    def cell(self, values: Tensor) -> GRUCell | RNNCell:
        """Return the step for inputs of shape (B, T, dim)."""
        w_ih, w_hh, *biases = self.recurrence.all_weights[0]
        b_ih, b_hh = biases or (None, None)
        return GRUCell(F.linear(values, w_ih, b_ih), w_hh, b_hh)

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor:
        """Compute h by the solver itself, or by a scan where a weight is neither 0 nor 1."""
        if not differentiated(key.weights) and key.points.cached(_are_binary):
            return self.states(query, key)[0]
        return output_map(self.integrate(self.problem(query, key, value_map(key.values))))


def _are_binary(points: Points) -> bool:
    weights = distinct(points.weights)
    return bool(((weights == 0) | (weights == 1)).all())
