"""Inputs of the MLP kernel: bilinear forms in the features of single points, and differences of positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from itnet_core.operator.transforms import differentiated

Input = Literal["query", "key", "product", "bilinear", "displacement", "distance", "fourier"]
INPUTS: tuple[Input, ...] = get_args(Input)
CONTENT: frozenset[Input] = frozenset({"query", "key", "product", "bilinear"})
"""The inputs that depend on content."""

PAPER: tuple[Input, ...] = tuple(name for name in INPUTS if name != "bilinear")
"""The inputs of the paper's kernel."""

Entry = Tensor | int

SQUARE_LIMIT = 1e30
"""Largest squared distance, so that the first layer is finite in float32 for weights of up to 1e8."""

_FEATURES_OF: dict[Input, tuple[str, ...]] = {
    **dict.fromkeys(CONTENT, ("content",)),
    "fourier": ("cos", "sin"),
}


class PairInputs(nn.Module):
    """The vector z of a pair of points, with entries z_k = χ(x)ᵀ S_k ψ(x, y) for constant, sparse matrices S_k.

    A point has the features χ = [1, ũ, cos 2πBx, sin 2πBx], and a pair ψ = [χ(y), x−y, ‖x−y‖²], both without the
    entries that no input needs. For example, sin(a−b) = sin a cos b − cos a sin b. A first layer W z + b is then one
    bilinear form per hidden unit: χ(x)ᵀ T_c ψ(x, y) with T_c = Σ_k W_ck S_k + b_c e_1 e_1ᵀ.

    ‖x−y‖² = ‖x‖² + ‖y‖² − 2⟨x, y⟩ is a bilinear form in single points too, but it cancels: its error grows with the
    square of the domain's extent in units of the distance. The difference of near positions is exact, so x−y and
    ‖x−y‖² are computed for each pair: p + 1 numbers, shared by all hidden units.

    Args:
        inputs: a subset of `INPUTS`; z has them in that order.
        rank: channels of ũ.
        position_dim: coordinates of x.
        frequencies: rows of B.

    Attributes:
        features: names of the features in χ, in order.
        columns: columns of each input in z.
        count: entries of z.
        width: entries of χ, R.
        geometry: entries of ψ after those of χ(y), G: p for `displacement` and 1 for `distance`.
        content: entries of χ without those of positions, which come after them.
    """

    unit: Tensor
    row: Tensor
    column: Tensor
    coefficient: Tensor

    def __init__(self, inputs: Sequence[Input], rank: int, position_dim: int, frequencies: int) -> None:
        super().__init__()
        widths = {"content": rank, "cos": frequencies, "sin": frequencies}
        used = {feature for name in inputs for feature in _FEATURES_OF.get(name, ())}
        self.features = ("one", *(name for name in widths if name in used))
        start, self.width = {}, 0
        for name in self.features:
            start[name] = self.width
            self.width += widths.get(name, 1)
        self._displacement, self._distance = "displacement" in inputs, "distance" in inputs
        start["displacement"], start["distance"] = self.width, self.width + self._displacement * position_dim
        self.geometry = start["distance"] + self._distance - self.width
        sizes = {"displacement": position_dim, "distance": 1, "bilinear": rank**2, "fourier": 2 * frequencies}
        self.columns: dict[Input, slice] = {}
        self.count = 0
        for name in (name for name in INPUTS if name in inputs):
            self.columns[name] = slice(self.count, self.count + sizes.get(name, rank))
            self.count = self.columns[name].stop
        entries = [entry for name, columns in self.columns.items() for entry in _entries(name, columns, start, rank)]
        entries.append((torch.tensor([self.count]), 0, 0, 1.0))
        unit, row, column, coefficient = (
            torch.cat([torch.as_tensor(entry[n]).expand(len(entry[0])) for entry in entries]) for n in range(4)
        )
        self.content = start.get("cos", self.width)
        order = column.argsort(stable=True)  # so that a sum over a column's entries can stay in registers
        for name, part in (("unit", unit), ("row", row), ("column", column), ("coefficient", coefficient)):
            self.register_buffer(name, part[order], persistent=False)

    @property
    def content_entries(self) -> int:
        """Number of entries of T that involve no input of positions; they come first."""
        return int((self.column < self.content).sum())

    def forward(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return T of a first layer, indexed by entry of χ(x), hidden unit and entry of ψ(x, y): (R, hidden, R + G).

        The last G entries of ψ are multiplied by the first entry of χ(x) alone, which is 1: T[1:, :, R:] is 0.

        Args:
            weight: W, shape (hidden, count).
            bias: b, shape (hidden,).
        """
        columns = self.entries(weight, bias)
        across = self.width + self.geometry
        flat = weight.new_zeros(len(weight), self.width * across)
        forms = flat.index_add(1, self.row * across + self.column, columns)
        return forms.view(-1, self.width, across).transpose(0, 1)

    def entries(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the entries of T that are not 0, (hidden, entries), by column: each adds to T[row, :, column]."""
        return torch.cat([weight, bias.unsqueeze(1)], dim=1)[:, self.unit] * self.coefficient.to(weight.dtype)

    def pairs(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the last G entries of ψ for all pairs, (B, G, n, m), for positions (B, n, p) and (B, m, p)."""
        x, y = query.transpose(1, 2).unsqueeze(3), key.transpose(1, 2).unsqueeze(2)
        if not self._distance:
            return x - y
        if torch.compiler.is_compiling() or differentiated(query) or differentiated(key):
            difference = x - y
            square = difference.square().sum(1, keepdim=True).clamp(max=SQUARE_LIMIT)
            return torch.cat([difference, square], dim=1) if self._displacement else square
        axes = query.shape[-1]
        out = query.new_empty(query.shape[0], axes + 1, query.shape[1], key.shape[1])
        difference, square = out[:, :axes], out[:, axes]
        torch.sub(x, y, out=difference)
        torch.mul(difference[:, 0], difference[:, 0], out=square)
        for axis in difference.unbind(1)[1:]:
            square.addcmul_(axis, axis)
        square.clamp_(max=SQUARE_LIMIT)
        return out if self._displacement else out[:, axes:]


def _entries(
    name: Input, columns: slice, start: Mapping[str, int], rank: int
) -> Iterator[tuple[Tensor, Entry, Entry, float]]:
    """Yield non-zero entries (k, row, column, coefficient) of S_k for some entries k of z; the feature 1 has row 0."""
    k = torch.arange(columns.start, columns.stop)
    if name in ("displacement", "distance"):
        yield k, 0, start[name] + torch.arange(len(k)), 1.0
    elif name == "fourier":
        real, imaginary = k.chunk(2)
        cos, sin = start["cos"] + real - columns.start, start["sin"] + real - columns.start
        yield real, cos, cos, 1.0
        yield real, sin, sin, 1.0
        yield imaginary, sin, cos, 1.0
        yield imaginary, cos, sin, -1.0
    elif name == "bilinear":
        content = start["content"] + torch.arange(rank)
        yield k, content.repeat_interleave(rank), content.repeat(rank), 1.0
    else:
        content = start["content"] + torch.arange(rank)
        yield k, 0 if name == "key" else content, 0 if name == "query" else content, 1.0
