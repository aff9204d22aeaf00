"""Steps of an LSTM, a GRU and an RNN, as in PyTorch, and their derivatives by the state."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

LOG_ZERO = -1e3
"""A logarithm whose exponential is 0 in all floating-point formats, and whose sums are finite."""


@dataclass(frozen=True, eq=False)
class LSTMCell:
    """Step of `nn.LSTM`, at all times at once; a state is h and c concatenated, (B, T, projection + hidden).

    Attributes:
        inputs: W_ih x + b_ih + b_hh, (B, T, 4·hidden), of the gates i, f, g and o.
        weight: W_hh, (4·hidden, projection).
        projection: W_p of h = W_p (o tanh c), (projection, hidden); the identity by default.
    """

    inputs: Tensor
    weight: Tensor
    projection: Tensor | None = None

    def split(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return h and c."""
        hidden, cell = states.split_with_sizes([self.weight.shape[1], len(self.weight) // 4], dim=-1)
        return hidden, cell

    def project(self, output: Tensor) -> Tensor:
        """Compute h from o tanh c."""
        return output if self.projection is None else F.linear(output, self.projection)

    def gates(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the arguments of i, f, g and o, (B, T, hidden) each, from h_{t−1}."""
        i, f, g, o = (self.inputs + F.linear(hidden, self.weight)).chunk(4, dim=-1)
        return i, f, g, o

    def integrand(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log f and i·g, (B, T, hidden) each, from h_{t−1}: c_t = f c_{t−1} + i g."""
        i, f, g, _ = self.gates(hidden)
        return F.logsigmoid(f), i.sigmoid() * g.tanh()

    def output(self, hidden: Tensor) -> Tensor:
        """Compute o, (B, T, hidden), from h_{t−1}: h_t = o tanh c_t."""
        return self.gates(hidden)[3].sigmoid()

    def __call__(self, previous: Tensor) -> Tensor:
        """Compute the states from the previous ones."""
        hidden, cell = self.split(previous)
        i, f, g, o = self.gates(hidden)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return torch.cat([self.project(o.sigmoid() * cell.tanh()), cell], dim=-1)

    def jacobian(self, previous: Tensor) -> Tensor:
        """Compute the derivative by the previous states, (B, T, states, states)."""
        hidden, cell = self.split(previous)
        i, f, g, o = self.gates(hidden)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        curve = (f * cell + i * g).tanh()
        slope = o * (1 - curve.square())  # of h by c
        by_i, by_f, by_g, by_o = self.weight.chunk(4)
        cell_by_hidden = _rows(g * i * (1 - i), by_i) + _rows(cell * f * (1 - f), by_f) + _rows(i * (1 - g * g), by_g)
        hidden_by_hidden = _rows(curve * o * (1 - o), by_o) + _rows(slope, cell_by_hidden)
        hidden_by_cell = torch.diag_embed(slope * f)
        if self.projection is not None:
            hidden_by_hidden, hidden_by_cell = (self.projection @ part for part in (hidden_by_hidden, hidden_by_cell))
        by_hidden = torch.cat([hidden_by_hidden, cell_by_hidden], dim=-2)
        by_cell = torch.cat([hidden_by_cell, torch.diag_embed(f)], dim=-2)
        return torch.cat([by_hidden, by_cell], dim=-1)

    def starting_at(self, time: int) -> LSTMCell:
        """Return the steps from a time on, counted from 0."""
        return replace(self, inputs=self.inputs[:, time:])

    def clamp_states(self, states: Tensor, start: Tensor) -> Tensor:
        """Clamp states to |h| ≤ 1, or the norm of W_p, and |c_t| ≤ t + |c_0|."""
        hidden, cell = self.split(states)
        bound = 1.0 if self.projection is None else float(self.projection.abs().sum(-1).amax())
        times = torch.arange(1, states.shape[1] + 1, dtype=states.dtype, device=states.device)
        reach = times.unsqueeze(-1) + self.split(start)[1].abs().amax()
        return torch.cat([hidden.clamp(-bound, bound), torch.minimum(torch.maximum(cell, -reach), reach)], dim=-1)


@dataclass(frozen=True, eq=False)
class GRUCell:
    """Step of `nn.GRU`, at all times at once; a state is h, (B, T, hidden).

    Attributes:
        inputs: W_ih x + b_ih, (B, T, 3·hidden), of the gates r, z and n.
        weight: W_hh, (3·hidden, hidden).
        bias: b_hh, (3·hidden,); r multiplies its part for n, too.
    """

    inputs: Tensor
    weight: Tensor
    bias: Tensor | None

    def gates(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the arguments of r, z and n, and the factor of r, (B, T, hidden) each, from h_{t−1}."""
        r, z, n = self.inputs.chunk(3, dim=-1)
        r_hidden, z_hidden, n_hidden = F.linear(hidden, self.weight, self.bias).chunk(3, dim=-1)
        r = r + r_hidden
        return r, z + z_hidden, n + r.sigmoid() * n_hidden, n_hidden

    def integrand(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log z and (1 − z)·n, (B, T, hidden) each, from h_{t−1}: h_t = z h_{t−1} + (1 − z) n."""
        _, z, n, _ = self.gates(hidden)
        return F.logsigmoid(z), (-z).sigmoid() * n.tanh()

    def __call__(self, previous: Tensor) -> Tensor:
        """Compute the states from the previous ones."""
        _, z, n, _ = self.gates(previous)
        return (-z).sigmoid() * n.tanh() + z.sigmoid() * previous

    def jacobian(self, previous: Tensor) -> Tensor:
        """Compute the derivative by the previous states, (B, T, hidden, hidden)."""
        r, z, n, n_hidden = self.gates(previous)
        r, z, n = r.sigmoid(), z.sigmoid(), n.tanh()
        by_r, by_z, by_n = self.weight.chunk(3)
        argument = _rows(r, by_n) + _rows(n_hidden * r * (1 - r), by_r)
        gates = _rows((previous - n) * z * (1 - z), by_z) + _rows((1 - z) * (1 - n * n), argument)
        return torch.diag_embed(z) + gates

    def starting_at(self, time: int) -> GRUCell:
        """Return the steps from a time on, counted from 0."""
        return replace(self, inputs=self.inputs[:, time:])

    def clamp_states(self, states: Tensor, start: Tensor) -> Tensor:
        """Clamp states to |h| ≤ max(1, |h_0|)."""
        reach = start.abs().amax().clamp(min=1)
        return torch.minimum(torch.maximum(states, -reach), reach)


@dataclass(frozen=True, eq=False)
class RNNCell:
    """Step of `nn.RNN`, at all times at once; a state is h, (B, T, hidden).

    Attributes:
        inputs: W_ih x + b_ih + b_hh, (B, T, hidden).
        weight: W_hh, (hidden, hidden).
        relu: whether the activation is ReLU; tanh by default.
    """

    inputs: Tensor
    weight: Tensor
    relu: bool = False

    def integrand(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the logarithm of 0 and h, (B, T, hidden) each, from h_{t−1}: h_t = 0 h_{t−1} + h_t."""
        drive = self(hidden)
        return torch.full_like(drive, LOG_ZERO), drive

    def __call__(self, previous: Tensor) -> Tensor:
        """Compute the states from the previous ones."""
        argument = self.inputs + F.linear(previous, self.weight)
        return argument.relu() if self.relu else argument.tanh()

    def jacobian(self, previous: Tensor) -> Tensor:
        """Compute the derivative by the previous states, (B, T, hidden, hidden)."""
        states = self(previous)
        return _rows((states > 0).to(states) if self.relu else 1 - states.square(), self.weight)

    def starting_at(self, time: int) -> RNNCell:
        """Return the steps from a time on, counted from 0."""
        return replace(self, inputs=self.inputs[:, time:])

    def clamp_states(self, states: Tensor, start: Tensor) -> Tensor:
        """Clamp states to 0 ≤ h of ReLU, or |h| ≤ 1."""
        return states.clamp(0, None) if self.relu else states.clamp(-1, 1)


def _rows(factors: Tensor, matrix: Tensor) -> Tensor:
    """Compute diag(factors) · matrix for factors of shape (B, T, n)."""
    return factors.unsqueeze(-1) * matrix
