from __future__ import annotations

import pytest
import torch
from torch import Tensor

from itnet_core import Block, Field, IntegralOperator, MLPKernel, ShapeError, Trunk
from itnet_core.models.position import FourierPositions


def encoding(positions: Tensor) -> Tensor:
    torch.manual_seed(0)
    module = FourierPositions(8).to(positions.dtype)
    return module(Field(positions.new_zeros(*positions.shape[:2], 8), positions)).values


def test_it_depends_on_a_points_position_alone() -> None:
    """Whatever the other points are: at every resolution and length."""
    positions = torch.randn(2, 9, 4, dtype=torch.float64)
    torch.testing.assert_close(encoding(positions)[:, 3:5], encoding(positions[:, 3:5]), rtol=0, atol=0)


def test_it_tells_tokens_and_patches_apart() -> None:
    for grid, axes, bounds in (((512,), "t", (0, 64)), ((32, 32), "yx", (-1, 1))):
        field = Field.on_grid(torch.zeros(1, *grid, 1), axes=axes, bounds=[bounds] * len(grid))
        actual = encoding(field.positions)[0]
        near = torch.cdist(actual, actual).fill_diagonal_(1).min()
        assert near > 0.01 * actual.norm(dim=-1).mean()


def test_a_trunk_says_which_positions_it_needs() -> None:
    trunk = Trunk([Block(IntegralOperator(8, MLPKernel(8, position_dim=2)))], position="fourier")
    with pytest.raises(ShapeError, match=r"Trunk\(field\): found 2 coordinates; expected 4"):
        trunk(Field.on_grid(torch.zeros(1, 3, 3, 8)))


def test_it_is_exact_far_from_the_origin() -> None:
    """In float32, for a text of 32,768 tokens and for clouds at offsets up to 10^6."""
    for offset in (0.0, 4096.0, 1e6, -1e6, 1e18):
        positions = offset + torch.arange(16, dtype=torch.float64).view(1, 4, 4) / 16
        actual = encoding(positions.float())
        torch.testing.assert_close(actual.double(), encoding(positions), rtol=0, atol=1e-6)
