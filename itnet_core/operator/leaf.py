"""An integral operator as one node of a compiled graph, for algorithms that read numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo import decorators  # imports the compiler: `IntegralOperator` imports this file late

from itnet_core.operator.field import Field


def _apply(operator: nn.Module, *tensors: Tensor) -> tuple[Tensor]:
    parts = zip(tensors[::3], tensors[1::3], tensors[2::3], strict=True)
    return (
        operator(*(Field(values, positions, weights) for values, positions, weights in parts)).values.to(
            tensors[0].dtype
        ),
    )


def _fake(operator: Any, *tensors: Tensor) -> tuple[Tensor]:
    return (tensors[0].new_empty(*tensors[0].shape[:2], operator.out_dim),)


if hasattr(decorators, "leaf_function"):
    apply_eagerly: Any = decorators.leaf_function(_apply)
    """Apply an operator to values, positions and weights of the query, and of the key if any; values in a tuple."""
    apply_eagerly.register_fake(_fake)
else:  # older versions of PyTorch break the graph
    apply_eagerly = torch.compiler.disable(_apply)  # type: ignore[no-untyped-call]
