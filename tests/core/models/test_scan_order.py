from __future__ import annotations

from typing import get_args

import pytest
import torch

from itnet_core import Block, ConfigError, Field, IntegralOperator, MLPKernel, Trunk
from itnet_core.models.scan_order import STEP, Scan, ScanOrder
from itnet_testing.fields import permuted, sample, scattered, with_padding

ORDERS = [order for order in get_args(Scan) if order != "none"]


def scanned(field: Field, order: Scan = "raster", axis: int = 0) -> Field:
    """Return the field that a function is given in the scan's order."""
    given = []

    def function(field: Field) -> Field:
        given.append(field)
        return field

    actual = ScanOrder(axis, order)(field, function)
    assert torch.equal(actual.values, field.values)
    assert actual.positions is field.positions
    return given[0]


def image(rows: int = 4, columns: int = 4) -> Field:
    values = torch.arange(float(rows * columns)).view(1, rows, columns, 1)
    return Field.on_grid(values.expand(2, -1, -1, -1), axes="yx")


@pytest.mark.parametrize("order", ORDERS)
def test_points_at_different_times_keep_them(order: Scan) -> None:
    field = scattered(2, 9)
    actual = scanned(field, order)
    assert torch.equal(actual.positions[..., 0], field.positions[..., 0].sort(-1).values)
    line = Field.on_grid(torch.randn(2, 9, 1), axes="t")
    assert scanned(line, order).grid == (9,)
    assert torch.equal(scanned(line, order).positions, line.positions)


def test_the_rows_of_an_image_follow_each_other() -> None:
    actual = scanned(permuted(image(), torch.randperm(16)))
    torch.testing.assert_close(actual.values[0, :, 0], torch.arange(16.0))
    torch.testing.assert_close(actual.positions[0, :, 0], STEP * torch.arange(16.0))
    assert scanned(image()).grid == (4, 4)


def test_a_kernel_of_another_axis_has_columns() -> None:
    actual = scanned(image(2, 3), axis=1)
    assert actual.values[0, :, 0].tolist() == [0, 3, 1, 4, 2, 5]
    torch.testing.assert_close(actual.positions[0, :, 1], torch.linspace(-2 / 3, 1, 6))


def test_the_z_order_keeps_quarters_together() -> None:
    actual = scanned(permuted(image(), torch.randperm(16)), "z-order")
    quarters = actual.values[0, :, 0].view(4, 4).sort().values
    assert quarters.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_points_at_one_time_lie_evenly_before_the_next() -> None:
    times = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 3.0]).view(1, -1, 1)
    field = Field(torch.zeros(1, 7, 1), torch.cat([times, torch.rand(1, 7, 3)], dim=-1))
    expected = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    torch.testing.assert_close(scanned(field).positions[0, :, 0], expected)
    spectrogram = Field.on_grid(torch.zeros(1, 5, 4, 1), axes="tx")
    torch.testing.assert_close(scanned(spectrogram).positions[0, :, 0].diff(), torch.full((19,), 0.1))


@pytest.mark.parametrize("order", ORDERS)
def test_order_of_points_other_samples_and_padding_do_not_matter(order: Scan) -> None:
    field = scattered(3, 12)
    field.positions[:, ::2, 0] = 0.25  # half of the points at one time
    field.positions[1, :, 0] = 0.0
    expected = scanned(field, order)
    again = scanned(permuted(field, torch.randperm(12)), order)
    padded = scanned(permuted(with_padding(field, 4), torch.randperm(16)), order)
    for actual in (again, padded):
        assert torch.equal(actual.values[:, :12], expected.values)
        assert torch.equal(actual.positions[:, :12], expected.positions)
        assert (actual.positions[..., 0].diff(dim=-1) > 0).all()
    for number in range(3):
        assert torch.equal(scanned(sample(field, number), order).positions[0], expected.positions[number])


def test_half_precision_keeps_points_apart() -> None:
    field = Field(torch.zeros(1, 600, 1), torch.zeros(1, 600, 4).bfloat16())
    assert torch.equal(scanned(field).positions[0, :, 0], STEP * torch.arange(600, dtype=torch.float32))


def test_gradients_reach_positions() -> None:
    field = scattered(1, 4)
    positions = field.positions.clone().requires_grad_()
    actual = scanned(field.replace(positions=positions)).positions
    [gradient] = torch.autograd.grad(actual.sum(), positions)
    assert torch.equal(gradient, torch.ones_like(positions))


def test_a_trunk_scans_for_kernels_that_scan() -> None:
    with pytest.raises(ConfigError, match=r"^scan: found 'raster' with MLPKernel, which scan 0 axes; .* 'fourier'"):
        Trunk([Block(IntegralOperator(8, MLPKernel(8)))], scan="raster")
