"""The paper's kernel: an MLP over pairs of positions and features."""

from itnet_core.operator.mlp.grid_sum import Taps
from itnet_core.operator.mlp.kernel import ACTIVATIONS, ADDITIVE, MLPKernel, PointTerms
from itnet_core.operator.mlp.pair_inputs import CONTENT, INPUTS, PAPER, Input

__all__ = ["ACTIVATIONS", "ADDITIVE", "CONTENT", "INPUTS", "PAPER", "Input", "MLPKernel", "PointTerms", "Taps"]
