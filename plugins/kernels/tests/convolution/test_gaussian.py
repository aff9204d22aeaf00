"""The Gaussian kernel."""

from __future__ import annotations

import torch

from itnet_core import Field, IntegralOperator
from itnet_kernels.convolution.gaussian import GaussianKernel


def test_it_is_its_formula() -> None:
    kernel = GaussianKernel(8, heads=3, shortest=0.1, longest=0.4)
    field = Field(torch.randn(2, 7, 8), torch.rand(2, 7, 4))
    found = kernel.tile(*kernel.project(field, field))
    squares = torch.cdist(field.positions, field.positions).square()
    for head, length in enumerate((0.1, 0.2, 0.4)):
        torch.testing.assert_close(found[:, head], (-squares / (2 * length**2)).exp())


def test_softmax_of_narrow_bumps_is_nearly_the_point_itself() -> None:
    """exp(k) weighs a point itself e times as much as those far away."""
    kernel = GaussianKernel(2, heads=1, shortest=1e-3, longest=1e-3, normalization="softmax")
    operator = IntegralOperator(2, kernel, pointwise=False)
    field = Field.on_grid(torch.randn(1, 5, 2))
    matrix = (torch.e - 1) * torch.eye(5) + 1
    integral = matrix @ operator.value(field.values)[:, :, 0] / (4 + torch.e)
    torch.testing.assert_close(operator(field).values, operator.output(integral.unsqueeze(2)))


def test_points_too_far_apart_for_a_square_have_no_nan_in_their_gradients() -> None:
    field = Field(torch.randn(1, 3, 4), torch.tensor([[[0.0], [1e18], [-1e18]]]))
    operator = IntegralOperator(4, GaussianKernel(4, shortest=1e-3))
    gradients = torch.autograd.grad(operator(field).values.sum(), list(operator.parameters()))
    assert all(bool(each.isfinite().all()) for each in gradients)
