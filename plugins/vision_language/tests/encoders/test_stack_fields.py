from __future__ import annotations

import torch

from itnet_core import Field, IntegralOperator, MLPKernel
from itnet_vision_language.encoders.stack_fields import stack_fields


def some(batch: int, points: int) -> Field:
    return Field(torch.randn(batch, points, 8).double(), torch.randn(batch, points, 4).double())


def test_each_sample_is_what_it_was_through_an_operator() -> None:
    """Padding changes nothing, and samples do not see each other."""
    fields = [some(2, 5), some(3, 9), some(1, 1)]
    operator = IntegralOperator(8, MLPKernel(8, heads=2, hidden=8)).double()
    together = operator(stack_fields(fields))
    start = 0
    for field in fields:
        batch, points, _ = field.values.shape
        torch.testing.assert_close(together.values[start : start + batch, :points], operator(field).values)
        assert not together.weights[start : start + batch, points:].any()
        start += batch
    assert start == len(together.values)
