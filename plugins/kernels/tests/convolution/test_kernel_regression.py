"""Under softmax the Gaussian kernel is a Nadaraya-Watson estimator with the weights exp(k)."""

from __future__ import annotations

import torch

from itnet_core import Field, IntegralOperator
from itnet_kernels import GaussianKernel


def test_narrow_gaussians_weigh_each_point_e_times_as_much_as_the_others() -> None:
    kernel = GaussianKernel(2, heads=1, shortest=1e-3, longest=1e-3, normalization="softmax")
    operator = IntegralOperator(2, kernel, pointwise=False)
    field = Field.on_grid(torch.randn(1, 5, 2))
    matrix = (torch.e - 1) * torch.eye(5) + 1
    integral = matrix @ operator.value(field.values)[:, :, 0] / (4 + torch.e)
    torch.testing.assert_close(operator(field).values, operator.output(integral.unsqueeze(2)))


def test_gradients_are_finite_for_points_whose_squared_distance_is_near_overflow() -> None:
    field = Field(torch.randn(1, 3, 4), torch.tensor([[[0.0], [1e18], [-1e18]]]))
    operator = IntegralOperator(4, GaussianKernel(4, shortest=1e-3))
    gradients = torch.autograd.grad(operator(field).values.sum(), list(operator.parameters()))
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
