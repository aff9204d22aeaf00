from __future__ import annotations

import torch

from itnet_core import Field
from itnet_core.models.z_order import along_curve


def test_an_order_has_each_point_once() -> None:
    torch.manual_seed(0)
    order = along_curve(torch.randn(3, 50, 4))
    assert (order.sort().values == torch.arange(50)).all()


def test_quarters_of_a_grid_follow_each_other() -> None:
    """Of 8 × 8 points each run of 16 is a quarter, and each run of 4 in it a square of 2 × 2."""
    positions = Field.on_grid(torch.zeros(1, 8, 8, 1), axes="yx").positions
    inside = positions[0, along_curve(positions)[0]]
    for length, side in ((16, 0.75), (4, 0.25)):
        runs = inside.view(-1, length, 4)
        torch.testing.assert_close(runs.amax(1) - runs.amin(1), torch.tensor([0, side, side, 0]).expand(len(runs), -1))


def test_scale_and_place_do_not_matter_nor_do_axes_without_extent() -> None:
    positions = torch.rand(2, 30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = positions * torch.tensor([1e-3, 1e5]) + 1e4
    assert torch.equal(along_curve(positions), along_curve(moved))
    assert along_curve(torch.ones(1, 5, 4)).tolist() == [list(range(5))]
