"""The sums and their gradients on tensors: calls of the library chunk by chunk, without autograd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from itnet_native.layout import across, blocks, down, padded
from itnet_native.library import HIDDEN, KEYS, ROW, Library, NativeProblem

LINEAR_BYTES = 4 << 20
"""Largest chunk of χ(x)ᵀ T, which has hidden · (R + G) numbers per query."""

OWN = (
    *("query", "out", "log_total", "grad_out", "delta", "grad_query"),
    *("second", "second_bias", "grad_second", "grad_second_bias", "query_positions", "grad_query_positions"),
)
"""Arrays that are cut to the chunk already, or have no batch axis."""

ACTIVATIONS = ("relu", "silu", "gelu", "tanh")

TENSORS = 9
"""Number of tensors in `Arguments`; they come first."""
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


class Arguments(NamedTuple):
    """Arguments of the operators; all tensors have one dtype, float32 or float64.

    Attributes:
        query: χ(x), (B, N, R); for an additive kernel a(x), (B, N, hidden).
        key: χ(y), (B, M, R); for an additive kernel b(y), (B, M, hidden).
        forms: T, (R, hidden, R + G), from `PairInputs`; `None` for an additive kernel.
        second: W_2, (heads, hidden).
        second_bias: b_2, (heads,).
        values: (B, M, heads, head_dim).
        bias: added to the logits, (B, M), for softmax; `None` for a plain sum.
        query_positions: (B, N, p), for a support or forms with a geometry; `None` otherwise.
        key_positions: (B, M, p) or `None`, likewise.
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
        batch, queries = self.query.shape[:2]
        heads, head_dim = self.values.shape[2:]
        out = self.query.new_empty(batch, queries, heads, padded(self.values[:1, :1]).shape[-1])
        log_total = self.query.new_empty((batch, queries, heads) if self.bias is not None else (0,))
        arrays: dict[str, Tensor | None] = self._shared()
        for b, i, linear in self._chunks():
            logs = None if self.bias is None else log_total[b, i]
            self._call("forward", b, i, linear, {**arrays, "out": out[b, i], "log_total": logs})
        return out[..., :head_dim].contiguous() if out.shape[-1] > head_dim else out, log_total

    def backward(self, grad_out: Tensor, out: Tensor, log_total: Tensor) -> Gradients:
        """Compute the gradients to the tensors, in their order; empty ones where a tensor is `None`."""
        head_dim, keys = self.values.shape[3], self.key.shape[1]
        hidden = self.second.shape[1]
        shared = self._shared()
        grads: dict[str, Any] = {
            "grad_key": torch.zeros_like(shared["key"]),
            "grad_values": torch.zeros_like(shared["values"]),
            "grad_bias": torch.zeros_like(shared["bias"]) if shared["bias"] is not None else None,
            "grad_second": torch.zeros_like(shared["second"]),
            "grad_second_bias": torch.zeros_like(self.second_bias),
        }
        moves, grad_query_positions = self.moves, self.query.new_zeros(0)
        if moves and self.query_positions is not None:
            grad_query_positions = torch.zeros_like(self.query_positions, memory_format=torch.contiguous_format)
        if moves:
            grads["grad_key_positions"] = torch.zeros_like(shared["key_positions"])
        delta = None if self.bias is None else (grad_out * out).sum(-1)
        grad_out = padded(grad_out).contiguous()
        key_rows = None if self.forms is None else blocks(padded(self.key, size=self.forms.shape[-1])).contiguous()
        arrays = {**shared, **grads, "key_rows": key_rows}
        grad_query = torch.empty_like(self.query, memory_format=torch.contiguous_format)
        grad_forms = self.query.new_zeros(0 if self.forms is None else self.forms.shape)
        for b, i, linear in self._chunks():
            rows = linear.shape[3:] and (padded(linear[:1, :1, :1]).shape[-1],)
            grad_linear = linear.new_zeros(*linear.shape[:3], *rows)
            own = {"grad_out": grad_out[b, i], "grad_query": grad_linear}
            if moves:
                own["grad_query_positions"] = parts = grad_query_positions[b, i].contiguous()
            if delta is not None:
                own |= {"delta": delta[b, i].contiguous(), "log_total": log_total[b, i]}
            self._call("backward", b, i, linear, {**arrays, **own})
            if moves:
                grad_query_positions[b, i] = parts
            if self.forms is None:
                grad_query[b, i] = grad_linear[:, :, :hidden]
            else:
                grad = grad_linear[:, :, :hidden, : self.forms.shape[-1]].flatten(2)
                grad_query[b, i] = grad @ self.forms.flatten(1).T
                grad_forms += (self.query[b, i].flatten(0, 1).T @ grad.flatten(0, 1)).view_as(grad_forms)
        return (
            grad_query,
            down(grads["grad_key"], keys)[..., : self.key.shape[-1]].contiguous(),
            grad_forms,
            grads["grad_second"][:, :hidden].contiguous(),
            grads["grad_second_bias"],
            down(grads["grad_values"], keys)[..., :head_dim].contiguous(),
            grads["grad_bias"].flatten(1)[:, :keys].contiguous() if self.bias is not None else self.query.new_empty(0),
            grad_query_positions,
            down(grads["grad_key_positions"], keys).contiguous() if moves else self.query.new_empty(0),
        )

    def _shared(self) -> dict[str, Any]:
        """Return the arrays that all chunks share."""
        key = self.key if self.forms is not None else padded(self.key, HIDDEN)
        positions = None
        if self.key_positions is not None:
            last = self.key_positions[:, -1:].expand(-1, -self.key.shape[1] % KEYS, -1)
            positions = across(torch.cat([self.key_positions, last], 1))
        return {
            "key": across(key),
            "values": across(padded(self.values)),
            "second": padded(self.second, HIDDEN).contiguous(),
            "second_bias": self.second_bias.contiguous(),
            "bias": None if self.bias is None else blocks(self.bias, -torch.inf).contiguous(),
            "key_positions": positions,
        }

    def _chunks(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield samples, queries, and their factor of the keys' array, (b, n, hidden[, R + G])."""
        batch, queries = self.query.shape[:2]
        if self.forms is None:
            yield slice(0, batch), slice(0, queries), padded(self.query, HIDDEN).contiguous()
            return
        forms = padded(self.forms, HIDDEN, axis=-2)
        rows = max(1, LINEAR_BYTES // (forms.shape[1] * forms.shape[2] * forms.element_size()))
        samples = max(1, rows // queries)
        for b in range(0, batch, samples):
            for i in range(0, queries, rows):
                chunk = slice(b, min(b + samples, batch)), slice(i, min(i + rows, queries))
                linear = self.query[chunk] @ forms.flatten(1)
                yield *chunk, linear.view(*linear.shape[:2], *forms.shape[1:])

    def _call(self, name: str, b: slice, i: slice, linear: Tensor, arrays: dict[str, Tensor | None]) -> None:
        library = Library.load()
        if library is None:
            raise RuntimeError("itnet_native: the library is missing")
        arrays = {name: array if name in OWN or array is None else array[b] for name, array in arrays.items()}
        arrays["query"] = linear
        if self.query_positions is not None:
            arrays["query_positions"] = self.query_positions[b, i].contiguous()
        key = arrays["key"]
        assert key is not None
        out = arrays.get("out", arrays.get("grad_out"))
        assert out is not None
        wrong = {name: a.dtype for name, a in arrays.items() if a is not None and a.dtype != linear.dtype}
        if wrong or linear.dtype != self.query.dtype:
            raise RuntimeError(f"itnet_native: expected {self.query.dtype}, found {linear.dtype} and {wrong}")
        problem = NativeProblem(
            batch=linear.shape[0],
            queries=linear.shape[1],
            keys=self.key.shape[1],
            blocks=key.shape[1],
            hidden=linear.shape[2],
            rank=0 if self.forms is None else self.key.shape[2],
            row_rank=0 if self.forms is None else -(-linear.shape[3] // ROW) * ROW,
            heads=out.shape[2],
            head_dim=out.shape[3],
            coordinates=0 if self.query_positions is None else self.query_positions.shape[-1],
            activation=ACTIVATIONS.index(self.activation),
            softmax=self.bias is not None,
            causal=self.causal,
            displacement=self.displacement,
            distance=self.distance,
            threads=torch.get_num_threads(),
            radius_squared=self.radius**2 if self.radius >= 0 else -1.0,
            window=self.window,
            **{name: array.data_ptr() for name, array in arrays.items() if array is not None},
        )
        getattr(library, name)(problem, self.query.element_size())
