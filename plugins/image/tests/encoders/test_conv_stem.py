from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from itnet_core import ConfigError
from itnet_image.encoders.conv_stem import ConvStemEncoder


@pytest.mark.parametrize("strides", [(1,), (2,), (3, 2), (1, 2, 2)])
@pytest.mark.parametrize("side", [1, 12, 13])
def test_points_lie_where_their_cells_begin(strides: tuple[int, ...], side: int) -> None:
    """The i-th point of a row lies at the centre of pixel i·s, s being the product of the strides."""
    field = ConvStemEncoder(16, strides=strides)(torch.randn(1, 3, side, side))
    stride = int(torch.tensor(strides).prod())
    pixels = torch.arange(0, side, stride)
    assert field.grid == (len(pixels), len(pixels))
    torch.testing.assert_close(field.positions[0, : len(pixels), 1], (2 * pixels + 1) / side - 1)


def test_it_is_made_of_3_by_3_convolutions_that_double_the_channels() -> None:
    encoder = ConvStemEncoder(32, strides=(2, 2, 1))
    convolutions = [module for module in encoder.stem if isinstance(module, nn.Conv2d)]
    assert [item.kernel_size for item in convolutions] == [(3, 3)] * 3
    assert [item.stride for item in convolutions] == [(2, 2), (2, 2), (1, 1)]
    assert [item.out_channels for item in convolutions] == [8, 16, 32]


def test_norms_differ_in_what_they_see() -> None:
    """Batch normalisation sees the batch in training; the others do not."""
    image, other = torch.randn(2, 1, 3, 8, 8)
    for norm, alone in (("group", True), ("none", True), ("batch", False)):
        encoder = ConvStemEncoder(16, norm=norm)
        one, both = encoder(image).values, encoder(torch.cat([image, other])).values[:1]
        assert torch.allclose(one, both, atol=1e-5) == alone
        encoder.eval()
        torch.testing.assert_close(encoder(image).values, encoder(torch.cat([image, other])).values[:1])


@pytest.mark.parametrize("options", [{"strides": ()}, {"strides": (4,)}, {"strides": (0,)}, {"norm": "layer"}])
def test_what_would_leave_pixels_out_or_is_unknown_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"ConvStemEncoder.{next(iter(options))}"):
        ConvStemEncoder(16, **options)
