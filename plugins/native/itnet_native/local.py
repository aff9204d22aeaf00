"""The sums over groups of near queries: calls of the library with autograd."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from itnet_core import Neighbourhoods, Support, Taps, refuse_second_derivatives
from itnet_native.layout import padded
from itnet_native.library import Library, NativeProblem
from itnet_native.sums import ACTIVATIONS

TENSORS = (
    "query",
    "key",
    "forms",
    "second",
    "second_bias",
    "values",
    "bias",
    "query_positions",
    "key_positions",
    "table",
)
WRITTEN = {"key", "values", "bias", "key_positions"}
"""Tensors whose gradients the library overwrites. It adds to the gradients of the others."""


class LocalCase(NamedTuple):
    """The arguments of a problem that are not differentiable tensors.

    Attributes:
        near: groups of near queries and their keys.
        rows: the entry of χ(x) that each row of the forms multiplies, (entries,).
        columns: the entry of ψ(x, y) that each row of the forms multiplies.
        activation: one of `ACTIVATIONS`.
        support: the support, which has no edge.
        displacement: whether ψ contains x − y.
        distance: whether ψ contains ‖x − y‖².
        moves: whether to compute gradients to the positions.
        taps: the displacements of a grid; the tensor `table` has the terms that they add to the argument of the hidden
            layer.
    """

    near: Neighbourhoods
    rows: Tensor
    columns: Tensor
    activation: str
    support: Support
    displacement: bool
    distance: bool
    moves: bool
    taps: Taps | None = None


class LocalSums(torch.autograd.Function):
    """The sums, (N, heads, head_dim), of points numbered through all samples.

    Tensors besides the case, all of one dtype: χ(x) (N, R), χ(y) (M, R), the entries of T that are not 0 (entries,
    hidden), W_2 (heads, hidden), b_2 (heads,), values (M, heads, head_dim), for softmax the bias of the logits (M,),
    positions (N, p), (M, p), and with taps their table (taps, hidden).
    """

    @staticmethod
    def forward(ctx: Any, case: LocalCase, *tensors: Tensor | None) -> Tensor:
        """Compute the sums."""
        by_name = dict(zip(TENSORS, tensors, strict=True))
        query, values, bias = by_name["query"], by_name["values"], by_name["bias"]
        assert query is not None
        assert values is not None
        arrays = _arrays(by_name)
        out = query.new_empty(len(query), values.shape[1], arrays["values"].shape[2])
        log_total = query.new_empty(out.shape[:2] if bias is not None else (0,))
        _call("forward", case, {**arrays, "out": out, "log_total": log_total}, out.shape[2])
        out = out[..., : values.shape[2]].contiguous()
        ctx.case = case
        ctx.save_for_backward(out, log_total, *tensors)
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients."""
        refuse_second_derivatives("NativeEvaluator", grad_out)
        case: LocalCase = ctx.case
        out, log_total, *tensors = ctx.saved_tensors
        by_name = dict(zip(TENSORS, tensors, strict=True))
        arrays = _arrays(by_name)
        grads = {
            f"grad_{name}": torch.empty_like(array) if name in WRITTEN else torch.zeros_like(array)
            for name, array in arrays.items()
        }
        if not case.moves:
            grads = {name: grad for name, grad in grads.items() if "positions" not in name}
        delta = (grad_out * out).sum(-1) if arrays.get("bias") is not None else None
        own = {"grad_out": padded(grad_out), "delta": delta, "log_total": log_total}
        _call("backward", case, {**arrays, **grads, **own}, own["grad_out"].shape[2])
        result: list[Tensor | None] = []
        for name, tensor in by_name.items():
            grad = grads.get(f"grad_{name}")
            if grad is None or tensor is None:
                result.append(None)
            else:
                result.append(grad[tuple(slice(size) for size in tensor.shape)])
        return None, *result


def _arrays(by_name: dict[str, Tensor | None]) -> dict[str, Tensor]:
    """Return contiguous arrays, with hidden units, channels of heads and keys padded to whole vectors."""
    rows = {"forms", "second", "values", "table"}
    return {
        name: padded(tensor) if name in rows else tensor.contiguous()
        for name, tensor in by_name.items()
        if tensor is not None
    }


def _call(name: str, case: LocalCase, arrays: dict[str, Any], head_dim: int) -> None:
    library = Library.load()
    if library is None:
        raise RuntimeError("itnet_native: the library is missing")
    query, key, support, near = arrays["query"], arrays["key"], case.support, case.near
    arrays = {name: array for name, array in arrays.items() if array is not None}
    wrong = {name: array.dtype for name, array in arrays.items() if array.dtype != query.dtype}
    if wrong:
        raise RuntimeError(f"itnet_native: expected {query.dtype}, found {wrong}")
    coordinates = arrays["query_positions"].shape[1]
    arrays |= {
        "group_queries": near.queries,
        "key_order": near.order,
        "key_ranks": near.ranks,
        "key_starts": near.starts,
        "entry_rows": case.rows,
        "entry_columns": case.columns,
    }
    table = arrays.get("table", ())
    if case.taps is not None:
        arrays["cells"] = case.taps.cells().repeat(len(key) // prod(case.taps.grid))
    problem = NativeProblem(
        batch=1,
        queries=len(query),
        keys=len(key),
        hidden=arrays["forms"].shape[1],
        rank=query.shape[1],
        heads=len(arrays["second"]),
        head_dim=head_dim,
        coordinates=coordinates,
        groups=len(near.queries),
        entries=len(case.rows),
        taps=len(table),
        tap_zero=len(table) // 2,
        activation=ACTIVATIONS.index(case.activation),
        softmax="bias" in arrays,
        causal=-1 if support.causal is None else support.causal_axis(coordinates),
        displacement=case.displacement,
        distance=case.distance,
        threads=torch.get_num_threads(),
        radius_squared=-1.0 if support.radius is None else support.radius**2,
        window=-1.0 if support.window is None else support.window,
        **{name: array.data_ptr() for name, array in arrays.items()},
    )
    getattr(library, name)(problem, query.element_size())
