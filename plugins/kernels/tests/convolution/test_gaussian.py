import torch

from itnet_core import Field
from itnet_kernels import GaussianKernel


def test_k_is_its_formula() -> None:
    field = Field(torch.randn(2, 7, 8), torch.rand(2, 7, 4))
    kernel = GaussianKernel(8, heads=3, shortest=0.1, longest=0.4)
    exponents = -torch.cdist(field.positions, field.positions).square() / 2
    expected = torch.stack([(exponents / length**2).exp() for length in (0.1, 0.2, 0.4)], dim=1)
    torch.testing.assert_close(kernel.tile(*kernel.project(field, field)), expected)
