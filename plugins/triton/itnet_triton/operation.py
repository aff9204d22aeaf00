"""The sums of the paper's kernel as operations of PyTorch, with their gradients: `itnet_triton::mlp_sum`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, get_type_hints

import torch
from torch import Tensor

from itnet_core import refuse_second_derivatives
from itnet_triton.accumulate import Gradients
from itnet_triton.prepared import Inputs, prepare
from itnet_triton.problem import Upstream

P = ParamSpec("P")
T = TypeVar("T")
DIFFERENTIABLE = Inputs._fields[:9]
TENSORS = Inputs._fields[:13]
_TYPES = {Tensor: "Tensor", Tensor | None: "Tensor?", bool: "bool", str: "str", torch.dtype: "ScalarType"}
_SCHEMA = ", ".join(f"{_TYPES[kind]} {name}" for name, kind in get_type_hints(Inputs).items())


def _without_autocast(operation: Callable[P, T]) -> Callable[P, T]:
    """Run an operation's own matrix products in the dtypes that it chose."""

    @wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        device = next(arg.device.type for arg in args if isinstance(arg, Tensor))
        with torch.autocast(device, enabled=False):
            return operation(*args, **kwargs)

    return run


@torch.library.custom_op("itnet_triton::mlp_sum", mutates_args=(), schema=f"({_SCHEMA}) -> (Tensor, Tensor)")
@_without_autocast
def mlp_sum(*arguments: Any) -> tuple[Tensor, Tensor]:
    """Return Σ_j k_h v_j, or Σ_j e^(k_h + bias) v_j / Σ_j e^(k_h + bias) with a bias; k = W_2 σ(χ(x)ᵀ T ψ(x, y)) + b_2.

    The arguments are `Inputs`. The result is (B, N, heads, head_dim) in the type of sums; the second one has the
    logarithms of the totals for the backward pass, (B, heads, N), or (B, heads, 0) without a bias.
    """
    prepared = prepare(Inputs(*arguments))
    pairs, heads = prepared.pairs, prepared.pairs.heads
    out, log_total = _empty(prepared.inputs)
    for rows, chunk in prepared.chunks():
        for head in range(0, heads, prepared.kind.heads):
            grid = rows.stop - rows.start, len(pairs.value), 1
            prepared.launch("sums", grid, chunk._replace(head=head), out, log_total)
    return out, log_total


@mlp_sum.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor]:
    return _empty(Inputs(*arguments))


def _empty(inputs: Inputs) -> tuple[Tensor, Tensor]:
    batch, queries, heads = *inputs.query.shape[:2], inputs.values.shape[2]
    accumulator = torch.promote_types(inputs.dtype, torch.float32)
    log_total = inputs.values.new_empty(batch, heads, queries if inputs.bias is not None else 0, dtype=accumulator)
    return inputs.values.new_empty(batch, queries, *inputs.values.shape[2:], dtype=accumulator), log_total


@torch.library.custom_op(
    "itnet_triton::mlp_sum_backward",
    mutates_args=(),
    schema=f"(Tensor grad_out, Tensor out, Tensor log_total, bool moves, {_SCHEMA})"
    f" -> ({', '.join('Tensor' for _ in DIFFERENTIABLE)})",
)
@_without_autocast
def mlp_sum_backward(
    grad_out: Tensor, out: Tensor, log_total: Tensor, moves: bool, *arguments: Any
) -> tuple[Tensor, ...]:
    """Return the gradients of `mlp_sum`'s first nine arguments.

    That of a missing bias is empty, and so are those of the positions unless `moves`.
    """
    inputs = Inputs(*arguments)
    moves = moves and inputs.displacement | inputs.distance
    prepared = prepare(inputs, moves)
    delta = (grad_out.to(out.dtype) * out).sum(-1).transpose(1, 2).contiguous()
    upstream = Upstream(grad_out.to(inputs.values.dtype).contiguous(), log_total, delta)
    grads = Gradients(prepared)
    for rows, chunk in prepared.chunks():
        for head in range(0, chunk.heads, prepared.kind.heads):
            pairs = chunk._replace(head=head)
            grads.add_queries_side(rows, pairs, upstream)
            grads.add_keys_side(pairs, upstream)
    differentiable: list[Any] = [*inputs[: len(DIFFERENTIABLE)]]
    results = zip(differentiable, grads.results(), strict=True)
    return tuple(grad if like is None else grad.to(like.dtype) for like, grad in results)


@mlp_sum_backward.register_fake
def _(grad_out: Tensor, out: Tensor, log_total: Tensor, moves: bool, *arguments: Any) -> tuple[Tensor, ...]:
    inputs = Inputs(*arguments)
    moves = moves and inputs.displacement | inputs.distance
    positions = [t if moves else t.new_empty(0) for t in (inputs.query_positions, inputs.key_positions)]
    shift = out.new_empty(0) if inputs.bias is None else inputs.bias
    tensors = *inputs[:3], *positions, *inputs[5:8], shift
    return tuple(torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in tensors)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    out, log_total = output
    ctx.save_for_backward(out, log_total, *inputs[: len(TENSORS)])
    ctx.mark_non_differentiable(log_total)
    ctx.options = inputs[len(TENSORS) :]


def _backward(ctx: Any, grad_out: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    refuse_second_derivatives("TritonEvaluator", grad_out)
    out, log_total, *tensors = ctx.saved_tensors
    moves = any(ctx.needs_input_grad[3:5])
    inputs = Inputs(*tensors, *ctx.options)
    grads: list[Tensor | None] = [*mlp_sum_backward(grad_out, out, log_total, moves, *inputs)]
    if not moves or not (inputs.displacement or inputs.distance):
        grads[3:5] = None, None
    if inputs.bias is None:
        grads[8] = None
    return *grads, *[None] * (len(inputs) - len(grads))


mlp_sum.register_autograd(_backward, setup_context=_save)
