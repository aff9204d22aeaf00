"""Linear attention is its recurrent form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from itnet_core import AutoEvaluator, DenseEvaluator, Field, IntegralOperator, ShapeError
from itnet_kernels.attention.linear_attention import LinearAttentionKernel


def looped(kernel: LinearAttentionKernel, field: Field, values: Tensor) -> Tensor:
    """Return eqs. 16–20 of the paper (arXiv 2006.16236), step by step."""
    queries, keys = (
        torch.unflatten(F.elu(linear(field.values)), -1, (kernel.heads, -1)) + 1
        for linear in (kernel.query, kernel.key)
    )
    memory, total, out = torch.zeros(()), torch.zeros(()), []
    for step in range(values.shape[1]):
        memory = memory + keys[:, step].unsqueeze(-1) * values[:, step].unsqueeze(-2)
        total = total + keys[:, step]
        sums = torch.einsum("bhc,bhcd->bhd", queries[:, step], memory)
        if kernel.normalization == "softmax":
            sums = sums / (queries[:, step] * total).sum(-1, keepdim=True)
        out.append(sums)
    return torch.stack(out, dim=1)


@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator()])
@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 2),
    heads=st.integers(1, 3),
    width=st.integers(1, 3),
    steps=st.sampled_from([1, 7, 64, 65, 150]),
    normalization=st.sampled_from(["softmax", "none"]),
)
def test_it_is_the_recurrence(
    check_recurrence: Callable[..., None],
    evaluator: Any,
    batch: int,
    heads: int,
    width: int,
    steps: int,
    normalization: Any,
) -> None:
    torch.manual_seed(0)
    dim = heads * width
    kernel = LinearAttentionKernel(dim, heads=heads, normalization=normalization, support={"causal": "t"})
    operator = IntegralOperator(dim, kernel, evaluator=evaluator, pointwise=False).double()
    inputs = torch.randn(batch, steps, dim, dtype=torch.float64, requires_grad=True)
    positions = torch.zeros(batch, steps, 4, dtype=torch.float64)
    positions[..., 0] = torch.rand(batch, steps).cumsum(-1) + torch.arange(steps)
    field = Field(inputs, positions)
    expected = operator.output(looped(kernel, field, operator.value(inputs)))
    check_recurrence(operator, field, expected)


def test_everywhere_no_tensor_of_pairs_is_made() -> None:
    """A million points: a tensor of their pairs would take 4 TB."""
    operator = IntegralOperator(4, LinearAttentionKernel(4, heads=1, head_dim=2))
    field = Field(torch.randn(1, 10**6, 4), torch.rand(1, 10**6, 4))
    with torch.no_grad():
        assert operator(field).values.isfinite().all()


def test_a_dim_without_channels_for_each_head_is_refused() -> None:
    with pytest.raises(ShapeError, match="head_dim 0, of dim 2 and 4 heads"):
        LinearAttentionKernel(2, heads=4)
