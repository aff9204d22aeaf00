"""An integral operator as one node of a compiled graph, for algorithms that read tensor values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo import decorators  # imports the compiler: `IntegralOperator` imports this file late

from itnet_core.operator.field import Field
from itnet_core.operator.points import distinct


def field_tensors(field: Field) -> tuple[Tensor, Tensor, Tensor]:
    """Return values, positions and weights, without copies for samples that share them, as `apply_eagerly` takes them.

    The weights of a grid have its shape, (B, 1, *grid).
    """
    weights = distinct(field.weights)
    weights = weights if field.grid is None else weights.view(-1, 1, *field.grid)
    return field.values, distinct(field.positions), weights


def _field(values: Tensor, positions: Tensor, weights: Tensor) -> Field:
    batch, grid = values.shape[0], tuple(weights.shape[2:]) or None
    return Field(values, positions.expand(batch, -1, -1), weights.flatten(1).expand(batch, -1), grid)


def _apply(operator: nn.Module, *tensors: Tensor) -> tuple[Tensor]:
    fields = [_field(*parts) for parts in zip(tensors[::3], tensors[1::3], tensors[2::3], strict=True)]
    return (operator(*fields).values.to(tensors[0].dtype),)


def _fake(operator: Any, *tensors: Tensor) -> tuple[Tensor]:
    return (tensors[0].new_empty(*tensors[0].shape[:2], operator.out_dim),)


if hasattr(decorators, "leaf_function"):
    apply_eagerly: Any = decorators.leaf_function(_apply)
    """Apply an operator to the `field_tensors` of the query, and of the key if any; the result's values in a tuple."""
    apply_eagerly.register_fake(_fake)
else:  # older versions of PyTorch break the graph
    apply_eagerly = torch.compiler.disable(_apply)  # type: ignore[no-untyped-call]
