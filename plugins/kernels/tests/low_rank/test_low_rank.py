"""The kernel of low rank."""

from __future__ import annotations

import pytest
import torch

from itnet_core import DenseEvaluator, Field, IntegralOperator, ShapeError
from itnet_kernels.low_rank.low_rank import LowRankKernel


def test_the_sum_over_pairs_has_the_rank() -> None:
    torch.manual_seed(0)
    kernel = LowRankKernel(8, heads=2, rank=3)
    field = Field(torch.randn(1, 20, 8), torch.rand(1, 20, 4))
    matrices = kernel.tile(*kernel.project(field, field))
    assert torch.linalg.matrix_rank(matrices, rtol=1e-4).tolist() == [[3, 3]]


def test_a_support_restricts_the_pairs() -> None:
    torch.manual_seed(0)
    kernel = LowRankKernel(8, heads=2, rank=3, support={"radius": 0.5})
    operator = IntegralOperator(8, kernel, evaluator=DenseEvaluator())
    field = Field(torch.randn(1, 20, 8), torch.rand(1, 20, 4))
    wide = IntegralOperator(8, LowRankKernel(8, heads=2, rank=3))
    wide.load_state_dict(operator.state_dict())
    assert not torch.allclose(operator(field).values, wide(field).values)


def test_no_tensor_of_pairs_is_made() -> None:
    """A million points: a tensor of their pairs would take 4 TB."""
    operator = IntegralOperator(4, LowRankKernel(4, heads=1, rank=2, hidden=2))
    field = Field(torch.randn(1, 10**6, 4), torch.rand(1, 10**6, 4))
    with torch.no_grad():
        assert operator(field).values.isfinite().all()


def test_positions_of_another_space_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"positions\): found 2 coordinates; expected position_dim = 4"):
        IntegralOperator(8, LowRankKernel(8, heads=2))(Field(torch.randn(1, 5, 8), torch.rand(1, 5, 2)))
