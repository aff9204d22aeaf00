"""The sums for autograd: as operators of PyTorch, for `torch.compile`, and as a function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from itnet_core import DerivativeError, tracing
from itnet_core.operator.transforms import transform_of
from itnet_native.sums import SAVED, TENSORS, Arguments, Gradients

_TYPES = {"Tensor": "Tensor", "Tensor | None": "Tensor?", "str": "str", "int": "int", "float": "float", "bool": "bool"}
_SCHEMA = ", ".join(f"{_TYPES[type_]} {name}" for name, type_ in Arguments.types().items())


@torch.library.custom_op(
    "itnet_native::sums", mutates_args=(), device_types="cpu", schema=f"({_SCHEMA}) -> (Tensor, Tensor)"
)
def sums(*arguments: Any) -> tuple[Tensor, Tensor]:
    """Compute the sums and the logarithms of the total weights, for `Arguments`."""
    with torch.autocast("cpu", enabled=False):  # otherwise products would have another dtype than the library reads
        return Arguments(*arguments).forward()


@sums.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor]:
    case = Arguments(*arguments)
    batch, queries = case.query.shape[:2]
    heads, head_dim = case.values.shape[2:]
    logs = (0,) if case.bias is None else (batch, queries, heads)
    return case.query.new_empty(batch, queries, heads, head_dim), case.query.new_empty(logs)


@torch.library.custom_op(
    "itnet_native::gradients",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor grad_out, Tensor out, Tensor log_total, {_SCHEMA}) -> ({', '.join(['Tensor'] * TENSORS)})",
)
def gradients(grad_out: Tensor, out: Tensor, log_total: Tensor, *arguments: Any) -> Gradients:
    """Compute the gradients to the tensors of `Arguments`, in their order; empty ones where a tensor is `None`."""
    with torch.autocast("cpu", enabled=False):
        return Arguments(*arguments).backward(grad_out, out, log_total)


@gradients.register_fake
def _(grad_out: Tensor, out: Tensor, log_total: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    case = Arguments(*arguments)
    tensors: list[Tensor | None] = [*arguments[:TENSORS]]
    if not case.moves:
        tensors[-2:] = None, None
    return tuple(case.query.new_empty(0 if tensor is None else tensor.shape) for tensor in tensors)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*output, *inputs[:SAVED])
    ctx.choices = inputs[SAVED:]


def _backward(ctx: Any, grad_out: Tensor, grad_log_total: Tensor) -> tuple[Tensor | None, ...]:
    out, log_total, *tensors = ctx.saved_tensors
    return _needed(ctx, gradients(grad_out, out, log_total, *tensors, *ctx.choices))


def _needed(ctx: Any, grads: Gradients) -> tuple[Tensor | None, ...]:
    needed = zip(grads, ctx.needs_input_grad, strict=False)
    return (*(grad if need else None for grad, need in needed), *[None] * (SAVED - TENSORS + len(ctx.choices)))


def _refuse(ctx: Any, *grads: Any) -> Any:
    raise DerivativeError(
        "NativeEvaluator",
        found="a backward pass through its gradients",
        expected="first derivatives only",
        hint="Use the evaluator 'dense' for second derivatives.",
    )


sums.register_autograd(_backward, setup_context=_save)
gradients.register_autograd(_refuse)


class EagerSums(torch.autograd.Function):
    """`sums` without PyTorch's dispatch of custom operators, which takes longer than small sums themselves."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        """Compute the sums and the logarithms of the total weights, for `Arguments`."""
        output = Arguments(*arguments).forward()
        _save(ctx, arguments, output)
        return output

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor, grad_log_total: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients; by the operator where they may be differentiated, traced or batched."""
        if torch.is_grad_enabled() or tracing() or transform_of(grad_out):
            return _backward(ctx, grad_out, grad_log_total)
        out, log_total, *tensors = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):
            return _needed(ctx, Arguments(*tensors, *ctx.choices).backward(grad_out, out, log_total))
