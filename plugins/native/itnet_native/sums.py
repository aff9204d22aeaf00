"""The sums and their gradients on tensors: calls of the library, without autograd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor

from itnet_native.layout import padded
from itnet_native.library import HIDDEN, ROW, Library, NativeProblem

ACTIVATIONS = ("relu", "silu", "gelu", "tanh")

TENSORS, SAVED = 9, 11
"""Number of tensors with gradients in `Arguments`, and number of all tensors. The tensors come first, in this order."""
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


class Arguments(NamedTuple):
    """Arguments of the operators; all tensors have one dtype, float32 or float64.

    Attributes:
        query: χ(x), (B, N, R); for an additive kernel a(x), (B, N, hidden).
        key: χ(y), (B, M, R); for an additive kernel b(y), (B, M, hidden).
        forms: the entries of T that are not 0, (entries, hidden), from `PairInputs`; `None` for an additive kernel.
        second: W_2, (heads, hidden).
        second_bias: b_2, (heads,).
        values: (B, M, heads, head_dim).
        bias: added to the logits, (B, M), for softmax; `None` for a plain sum.
        query_positions: (B, N, p), for a support or forms with a geometry; `None` otherwise.
        key_positions: (B, M, p); `None` if `query_positions` is `None`.
        rows: the entry of χ(x) that each row of the forms multiplies, (entries,).
        columns: the entry of ψ(x, y) that each row of the forms multiplies.
        activation: one of `ACTIVATIONS`.
        causal: the causal axis; −1 for none.
        radius: of the support; −1 for none.
        window: of the support; −1 for none.
        displacement: whether ψ contains x − y, in p of the forms' G columns.
        distance: whether ψ contains ‖x − y‖², in the last column.
        moves: whether to compute gradients to the positions.
    """

    query: Tensor
    key: Tensor
    forms: Tensor | None
    second: Tensor
    second_bias: Tensor
    values: Tensor
    bias: Tensor | None
    query_positions: Tensor | None
    key_positions: Tensor | None
    rows: Tensor
    columns: Tensor
    activation: str
    causal: int
    radius: float
    window: float
    displacement: bool
    distance: bool
    moves: bool

    @classmethod
    def types(cls) -> dict[str, str]:
        """Return the names and types of the arguments, as this file spells them."""
        return {name: cls.__annotations__[name].__forward_arg__ for name in cls._fields}

    def forward(self) -> tuple[Tensor, Tensor]:
        """Compute the sums, (B, N, heads, head_dim), and for softmax the logs of the total weights, (B, N, heads)."""
        (batch, queries), (heads, head_dim) = self.query.shape[:2], self.values.shape[2:]
        arrays = self._arrays()
        out = self.query.new_empty(batch, queries, heads, arrays["values"].shape[-1])
        log_total = self.query.new_empty((batch, queries, heads) if self.bias is not None else (0,))
        self._call("forward", {**arrays, "out": out, "log_total": log_total}, out)
        return out[..., :head_dim].contiguous(), log_total

    def backward(self, grad_out: Tensor, out: Tensor, log_total: Tensor) -> Gradients:
        """Compute the gradients to the tensors, in their order; empty ones where a tensor is `None`."""
        arrays = self._arrays()
        names = [name for name in self._fields[:TENSORS] if name in arrays and (self.moves or "positions" not in name)]
        grads = {f"grad_{name}": torch.zeros_like(arrays[name]) for name in names}
        delta = None if self.bias is None else (grad_out * out).sum(-1)
        grad_out = padded(grad_out)
        own = {"grad_out": grad_out, "delta": delta, "log_total": log_total}
        self._call("backward", {**arrays, **grads, **own}, grad_out)
        result = (self._grad(name, grads.get(f"grad_{name}")) for name in self._fields[:TENSORS])
        return cast(Gradients, tuple(result))

    def _grad(self, name: str, grad: Tensor | None) -> Tensor:
        """Return a gradient without padding; an empty one for `None`."""
        if grad is None:
            return self.query.new_empty(0)
        return grad[..., : getattr(self, name).shape[-1]].contiguous()

    def _arrays(self) -> dict[str, Tensor]:
        """Return contiguous arrays, padded to whole vectors."""
        multiples = {"forms": ROW, "second": HIDDEN, "values": ROW}
        if self.forms is None:
            multiples |= {"query": HIDDEN, "key": HIDDEN}
        tensors = zip(self._fields[:TENSORS], self[:TENSORS], strict=True)
        return {name: padded(tensor, multiples.get(name, 1)) for name, tensor in tensors if isinstance(tensor, Tensor)}

    def _call(self, name: str, tensors: Mapping[str, Tensor | None], out: Tensor) -> None:
        library = Library.load()
        if library is None:
            raise RuntimeError("itnet_native: the library is missing")
        arrays = {name: array for name, array in tensors.items() if array is not None}
        wrong = {name: array.dtype for name, array in arrays.items() if array.dtype != self.query.dtype}
        if wrong:
            raise RuntimeError(f"itnet_native: expected {self.query.dtype}, found {wrong}")
        coordinates = 0 if self.query_positions is None else self.query_positions.shape[-1]
        rank = 0 if self.forms is None else self.key.shape[2]
        depth = rank + self.displacement * coordinates + self.distance
        arrays |= {"entry_rows": self.rows, "entry_columns": self.columns}
        problem = NativeProblem(
            batch=self.query.shape[0],
            queries=self.query.shape[1],
            keys=self.key.shape[1],
            hidden=arrays["second"].shape[1],
            rank=rank,
            row_rank=-(-depth // ROW) * ROW,
            heads=out.shape[2],
            head_dim=out.shape[3],
            coordinates=coordinates,
            entries=len(self.rows),
            activation=ACTIVATIONS.index(self.activation),
            softmax=self.bias is not None,
            causal=self.causal,
            displacement=self.displacement,
            distance=self.distance,
            threads=torch.get_num_threads(),
            radius_squared=self.radius**2 if self.radius >= 0 else -1.0,
            window=self.window,
            **{name: array.data_ptr() for name, array in arrays.items()},
        )
        getattr(library, name)(problem, self.query.element_size())
