"""The sums as operators of PyTorch, `itnet_native::sums` and its gradients, for autograd and `torch.compile`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from itnet_core import DerivativeError
from itnet_native.sums import Case


@torch.library.custom_op("itnet_native::sums", mutates_args=(), device_types="cpu")
def sums(
    query: Tensor,
    key: Tensor,
    forms: Tensor | None,
    second: Tensor,
    second_bias: Tensor,
    values: Tensor,
    bias: Tensor | None,
    query_positions: Tensor | None,
    key_positions: Tensor | None,
    activation: str,
    causal: int,
    radius: float,
    window: float,
    displacement: bool,
    distance: bool,
    moves: bool,
) -> tuple[Tensor, Tensor]:
    """Return the sums and the logarithms of the total weights; the arguments are those of `Case`."""
    case = Case(
        query,
        key,
        forms,
        second,
        second_bias,
        values,
        bias,
        query_positions,
        key_positions,
        activation,
        causal,
        radius,
        window,
        displacement,
        distance,
        moves,
    )
    with torch.autocast("cpu", enabled=False):  # else products would be of another dtype than the memory that is read
        return case.forward()


@sums.register_fake
def _(query: Tensor, key: Tensor, forms: Any, second: Any, second_bias: Any, values: Tensor, bias: Any, *_: Any) -> Any:
    batch, queries = query.shape[:2]
    heads, head_dim = values.shape[2:]
    logs = (0,) if bias is None else (batch, queries, heads)
    return query.new_empty(batch, queries, heads, head_dim), query.new_empty(logs)


@torch.library.custom_op("itnet_native::gradients", mutates_args=(), device_types="cpu")
def gradients(
    grad_out: Tensor,
    out: Tensor,
    log_total: Tensor,
    query: Tensor,
    key: Tensor,
    forms: Tensor | None,
    second: Tensor,
    second_bias: Tensor,
    values: Tensor,
    bias: Tensor | None,
    query_positions: Tensor | None,
    key_positions: Tensor | None,
    activation: str,
    causal: int,
    radius: float,
    window: float,
    displacement: bool,
    distance: bool,
    moves: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients to the tensors, in their order; empty ones for no tensor."""
    case = Case(
        query,
        key,
        forms,
        second,
        second_bias,
        values,
        bias,
        query_positions,
        key_positions,
        activation,
        causal,
        radius,
        window,
        displacement,
        distance,
        moves,
    )
    with torch.autocast("cpu", enabled=False):
        return case.backward(grad_out, out, log_total)


@gradients.register_fake
def _(grad_out: Any, out: Any, log_total: Any, *arguments: Any) -> Any:
    tensors, moves = list(arguments[:9]), arguments[-1]
    if not moves:
        tensors[7:] = None, None
    return tuple(arguments[0].new_empty(0 if each is None else each.shape) for each in tensors)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*output, *inputs[:9])
    ctx.choices = inputs[9:]


def _backward(ctx: Any, grad_out: Tensor, grad_log_total: Tensor) -> tuple[Any, ...]:
    out, log_total, *arguments = ctx.saved_tensors
    found = gradients(grad_out, out, log_total, *arguments, *ctx.choices)
    grads = [grad if need else None for grad, need in zip(found, ctx.needs_input_grad, strict=False)]
    return (*grads, *[None] * (len(ctx.needs_input_grad) - len(grads)))


def _refuse(ctx: Any, *grads: Any) -> Any:
    raise DerivativeError(
        "NativeEvaluator",
        found="a backward pass through its gradients",
        expected="first derivatives alone",
        hint="Use the evaluator 'dense' for second derivatives.",
    )


sums.register_autograd(_backward, setup_context=_save)
gradients.register_autograd(_refuse)
