"""Results of operators and their gradients, which checks of kernels compare."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from itnet_core import Field, IntegralOperator, pair_matrix, sum_values


def values_of(operator: IntegralOperator, field: Field, values: Tensor) -> Tensor:
    """Return the operator's result for a field with other values."""
    return operator(field.with_values(values)).values


def transformed(operator: IntegralOperator, field: Field) -> list[Tensor]:
    """Return the operator's result for a field, and the gradients of a function of it to values and parameters."""
    values = field.values.clone().requires_grad_()
    result = operator(field.with_values(values)).values
    return [result.detach(), *gradients(result, [values, *operator.parameters()])]


def matrix_valued(operator: IntegralOperator, field: Field) -> list[Tensor]:
    """Return Σ_h ∫ k_h M_h u dμ + W_o u, term by term, and its gradients as `transformed` does."""
    values, kernel = field.values.clone().requires_grad_(), operator.kernel
    side = field.with_values(values).with_measure(kernel.measure)
    matrix = pair_matrix(kernel.problem(side, side, values.unsqueeze(2)))
    if kernel.normalization == "none":
        matrix = matrix * side.weights[:, None, None, :]
    output, pointwise = cast(nn.Linear, cast(nn.Sequential, operator.output)[-1]), operator.pointwise
    matrices = output.weight.view(len(output.weight), kernel.heads, -1)
    result = torch.einsum("bhnm,ohd,bmd->bno", matrix, matrices, values)
    result = result if output.bias is None else result + output.bias
    result = result if pointwise is None else result + pointwise(values)
    return [result.detach(), *gradients(result, [values, *operator.parameters()])]


def gradients(result: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Return the gradients of a fixed linear function of `result`, 0 where it does not depend on an input."""
    target = result.flatten() @ torch.linspace(-1, 1, result.numel(), dtype=result.dtype)
    computed = torch.autograd.grad(target, inputs, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, computed, strict=True)]


def by_matrix(operator: IntegralOperator, field: Field) -> list[Tensor]:
    """Return the operator's result by `IntegralOperator.matrix`, and its gradients as `transformed` does."""
    values = field.values.clone().requires_grad_()
    field = field.with_values(values)
    parts = torch.split(operator.matrix(field), [kernel.heads for kernel, _, _ in operator.summands], 1)
    integrals = [
        output(sum_values(matrix, value(values)))
        for matrix, (_, value, output) in zip(parts, operator.summands, strict=True)
    ]
    result = torch.stack(integrals).sum(0)
    result = result if operator.pointwise is None else result + operator.pointwise(values)
    return [result.detach(), *gradients(result, [values, *operator.parameters()])]
