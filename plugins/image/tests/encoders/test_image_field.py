"""What holds for both encoders: where points lie, what they weigh, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from itnet_core import Encoder, ShapeError
from itnet_image.encoders.conv_stem import ConvStemEncoder
from itnet_image.encoders.patch import PatchEncoder

Make = Callable[..., Encoder]


@pytest.fixture(params=["patch", "conv-stem"])
def make(request: pytest.FixtureRequest) -> Make:
    """Return how to build an encoder with cells of 4 × 4 pixels."""
    if request.param == "patch":
        return lambda **options: PatchEncoder(8, patch_size=4, **options)
    return lambda **options: ConvStemEncoder(8, strides=(2, 2), **options)


@pytest.mark.parametrize("size", [(16, 16), (8, 32), (13, 18), (1, 1), (5, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_gives_a_field_of_its_cells(make: Make, size: tuple[int, int], channels: int) -> None:
    field = make(channels=channels)(torch.randn(2, channels, *size))
    rows, columns = -(-size[0] // 4), -(-size[1] // 4)
    assert field.grid == (rows, columns)
    assert field.values.shape == (2, rows * columns, 8)
    t, _, _, z = field.positions.unbind(-1)
    assert not t.any()
    assert not z.any()


@pytest.mark.parametrize("size", [(16, 16), (13, 18), (1, 1), (5, 4)])
def test_a_cell_weighs_the_share_of_the_image_that_it_covers(make: Make, size: tuple[int, int]) -> None:
    field = make()(torch.randn(1, 3, *size))
    pixels = torch.zeros(field.grid)
    for row in range(size[0]):
        for column in range(size[1]):
            pixels[row // 4, column // 4] += 1
    torch.testing.assert_close(field.weights[0], pixels.flatten() / pixels.sum())


@pytest.mark.parametrize("size", [(32, 32), (27, 38)])
def test_a_point_lies_in_the_middle_of_the_pixels_that_it_sees(make: Make, size: tuple[int, int]) -> None:
    encoder = make(channels=1)
    for module in list(encoder.modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.GroupNorm):  # depends on the whole image
            module.forward = lambda values: values  # type: ignore[assignment, method-assign]
    image = torch.ones(1, 1, *size, requires_grad=True)
    field = encoder(image)
    rows, columns = field.grid
    inner = rows // 2 * columns + columns // 2
    (gradient,) = torch.autograd.grad(field.values[0, inner].sum(), image)
    y, x = ((2 * torch.arange(side) + 1 - side) / max(size) for side in size)
    seen = gradient[0, 0] / gradient.sum()
    centroid = torch.stack([(seen.sum(0) * x).sum(), (seen.sum(1) * y).sum()])
    torch.testing.assert_close(centroid, field.positions[0, inner, 1:3], rtol=0, atol=1e-5)


def test_the_longer_side_spans_the_domain(make: Make) -> None:
    """Whatever the resolution, points lie inside, and a cell or less from the edges at −1 and 1."""
    for side in (16, 32, 64):
        positions = make()(torch.randn(1, 3, side // 2, side)).positions[0]
        for axis, edge in ((1, 1.0), (2, 0.5)):
            assert -edge < positions[:, axis].min() <= -edge + 8 / side
            assert edge - 8 / side <= positions[:, axis].max() < edge


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), r"found torch.float32 of shape \(3, 8, 8\); expected a finite"),
        (torch.zeros(1, 1, 8, 8), "Configure the encoder with channels=1"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "torch.uint8"),
        (torch.full((1, 3, 8, 8), torch.nan), "NaN or infinite"),
        (torch.zeros(1, 3, 0, 8), r"\(1, 3, 0, 8\)"),
        ("image.png", "found str"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(make: Make, images: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        make(channels=3)(images)


def test_images_of_another_floating_type_are_read(make: Make) -> None:
    encoder, images = make(), torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(encoder(images.double()).values, encoder(images).values)


def test_samples_do_not_see_each_other_and_gradients_reach_everything(make: Make) -> None:
    encoder = make()
    images: Tensor = torch.randn(3, 3, 9, 14)
    together = encoder(images)
    alone = torch.cat([encoder(image.unsqueeze(0)).values for image in images])
    torch.testing.assert_close(together.values, alone, rtol=1e-4, atol=1e-5)
    together.values.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.parameters())
