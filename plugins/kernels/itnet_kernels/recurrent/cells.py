"""Steps of an LSTM and a GRU, as in PyTorch, and their derivatives by the state."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class LSTMCell:
    """Step of `nn.LSTM`, at all times at once; a state is h and c concatenated, (B, T, 2·hidden).

    Attributes:
        inputs: W_ih x + b_ih + b_hh, (B, T, 4·hidden), of the gates i, f, g and o.
        weight: W_hh, (4·hidden, hidden).
    """

    inputs: Tensor
    weight: Tensor

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
        hidden, cell = previous.chunk(2, dim=-1)
        i, f, g, o = self.gates(hidden)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return torch.cat([o.sigmoid() * cell.tanh(), cell], dim=-1)

    def jacobian(self, previous: Tensor) -> Tensor:
        """Compute the derivative by the previous states, (B, T, 2·hidden, 2·hidden)."""
        hidden, cell = previous.chunk(2, dim=-1)
        i, f, g, o = self.gates(hidden)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        curve = (f * cell + i * g).tanh()
        slope = o * (1 - curve.square())  # of h by c
        by_i, by_f, by_g, by_o = self.weight.chunk(4)
        cell_by_hidden = _rows(g * i * (1 - i), by_i) + _rows(cell * f * (1 - f), by_f) + _rows(i * (1 - g * g), by_g)
        hidden_by_hidden = _rows(curve * o * (1 - o), by_o) + _rows(slope, cell_by_hidden)
        by_hidden = torch.cat([hidden_by_hidden, cell_by_hidden], dim=-2)
        by_cell = torch.cat([torch.diag_embed(slope * f), torch.diag_embed(f)], dim=-2)
        return torch.cat([by_hidden, by_cell], dim=-1)

    def starting_at(self, time: int) -> LSTMCell:
        """Return the steps from a time on, counted from 0."""
        return replace(self, inputs=self.inputs[:, time:])

    def clamp_states(self, states: Tensor, start: Tensor) -> Tensor:
        """Clamp states to |h| ≤ 1 and |c_t| ≤ t + |c_0|."""
        hidden, cell = states.chunk(2, dim=-1)
        times = torch.arange(1, states.shape[1] + 1, dtype=states.dtype, device=states.device)
        reach = times.unsqueeze(-1) + start.chunk(2, dim=-1)[1].abs().amax()
        return torch.cat([hidden.clamp(-1, 1), torch.minimum(torch.maximum(cell, -reach), reach)], dim=-1)


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


def _rows(factors: Tensor, matrix: Tensor) -> Tensor:
    """Compute diag(factors) · matrix for factors of shape (B, T, n)."""
    return factors.unsqueeze(-1) * matrix
