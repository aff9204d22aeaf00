import torch

from itnet_core import Field
from itnet_kernels import GaussianKernel


def test_k_is_its_formula() -> None:
    kernel, field = GaussianKernel(8, heads=3, longest=0.4), Field(torch.randn(2, 7, 8), torch.rand(2, 7, 4))
    gaps = torch.cdist(field.positions, field.positions).unsqueeze(1) / torch.tensor([0.1, 0.2, 0.4]).view(3, 1, 1)
    torch.testing.assert_close(kernel.tile(*kernel.project(field, field)), (-gaps.square() / 2).exp())
