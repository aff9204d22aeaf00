"""The inputs of the paper's kernel as bilinear forms in the features of single points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Input = Literal["query", "key", "product", "displacement", "distance", "fourier"]
INPUTS: tuple[Input, ...] = get_args(Input)
Entry = Tensor | int

_FEATURES_OF: dict[Input, tuple[str, ...]] = {
    "query": ("content",),
    "key": ("content",),
    "product": ("content",),
    "displacement": ("position",),
    "distance": ("position", "square"),
    "fourier": ("cos", "sin"),
}


class PairInputs(nn.Module):
    """The vector z of a pair of points, each entry written as z_k = χ(x)ᵀ S_k χ(y) with a constant, sparse S_k.

    The point features are χ = [1, ũ, x, ‖x‖², cos 2πBx, sin 2πBx], less those that no input needs. For example
    ‖x−y‖² = ‖x‖²·1 + 1·‖y‖² − 2 Σ_i x_i y_i, and sin(a−b) = sin a cos b − cos a sin b. A first layer W z + b is then
    one bilinear form a hidden unit: χ(x)ᵀ T_c χ(y) with T_c = Σ_k W_ck S_k + b_c e_1 e_1ᵀ.

    Args:
        inputs: which of `INPUTS` there are; z holds them in that order.
        rank: channels of ũ.
        position_dim: coordinates of x.
        frequencies: rows of B.

    Attributes:
        features: the names of the point features in χ, in order.
        columns: where each input stands in z.
        count: entries of z.
        width: entries of χ, R.
    """

    unit: Tensor
    row: Tensor
    column: Tensor
    coefficient: Tensor

    def __init__(self, inputs: Sequence[Input], rank: int, position_dim: int, frequencies: int) -> None:
        super().__init__()
        widths = {"content": rank, "position": position_dim, "square": 1, "cos": frequencies, "sin": frequencies}
        used = {feature for name in inputs for feature in _FEATURES_OF[name]}
        self.features = ("one", *(name for name in widths if name in used))
        start, self.width = {}, 0
        for name in self.features:
            start[name] = self.width
            self.width += widths.get(name, 1)
        sizes = {"query": rank, "key": rank, "product": rank, "displacement": position_dim, "distance": 1}
        self.columns: dict[Input, slice] = {}
        self.count = 0
        for each in (name for name in INPUTS if name in inputs):
            self.columns[each] = slice(self.count, self.count + sizes.get(each, 2 * frequencies))
            self.count = self.columns[each].stop
        entries = [entry for each, at in self.columns.items() for entry in _form(each, at, start)]
        entries.append((torch.tensor([self.count]), 0, 0, 1.0))
        for n, name in enumerate(("unit", "row", "column", "coefficient")):
            parts = [torch.as_tensor(entry[n]).expand(len(entry[0])) for entry in entries]
            self.register_buffer(name, torch.cat(parts), persistent=False)

    def forward(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return T for a first layer, shape (R, hidden, R): row of χ(x), hidden unit, column of χ(y).

        Args:
            weight: W, shape (hidden, count).
            bias: b, shape (hidden,).
        """
        columns = torch.cat([weight, bias.unsqueeze(1)], dim=1)[:, self.unit] * self.coefficient.to(weight.dtype)
        flat = weight.new_zeros(len(weight), self.width**2)
        forms = flat.index_add(1, self.row * self.width + self.column, columns)
        return forms.view(-1, self.width, self.width).transpose(0, 1)


def _form(name: Input, at: slice, start: Mapping[str, int]) -> Iterator[tuple[Tensor, Entry, Entry, float]]:
    """Yield the non-zero entries (k, row, column, coefficient) of S_k for the entries k = `at` of z; 1 is at row 0."""
    k = torch.arange(at.start, at.stop)
    if name == "distance":
        axes = torch.arange(start["position"], start["square"])
        yield k, start["square"], 0, 1.0
        yield k, 0, start["square"], 1.0
        yield k.expand(len(axes)), axes, axes, -2.0
    elif name == "fourier":
        real, imaginary = k.chunk(2)
        cos, sin = start["cos"] + real - at.start, start["sin"] + real - at.start
        yield real, cos, cos, 1.0
        yield real, sin, sin, 1.0
        yield imaginary, sin, cos, 1.0
        yield imaginary, cos, sin, -1.0
    elif name == "displacement":
        axes = torch.arange(start["position"], start["position"] + len(k))
        yield k, axes, 0, 1.0
        yield k, 0, axes, -1.0
    else:
        content = torch.arange(start["content"], start["content"] + len(k))
        yield k, 0 if name == "key" else content, 0 if name == "query" else content, 1.0
