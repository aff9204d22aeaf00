from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itnet_core import ConfigError, Field, ShapeError
from itnet_image.encoders.pixel_sequence import PixelSequenceEncoder
from itnet_registry import create_model


def test_a_point_is_a_linear_map_of_its_pixels_in_the_order_of_reading() -> None:
    encoder, image = PixelSequenceEncoder(8, pixels=2, points_per_unit=4), torch.randn(1, 3, 5, 6)
    field = encoder(image)
    pixels = image[0, :, 2, 4:6]  # the last of three points in the third row
    expected = (encoder.projection.weight[:, :, 0] * pixels).sum((1, 2)) + encoder.projection.bias  # type: ignore[operator]
    torch.testing.assert_close(field.values[0, 8], expected)
    torch.testing.assert_close(field.positions[0, :, 0], (torch.arange(15) + 0.5) / 4)


@settings(max_examples=30)
@given(height=st.integers(1, 9), width=st.integers(1, 9), pixels=st.integers(1, 4))
def test_a_row_is_padded_with_zeros_of_no_weight(height: int, width: int, pixels: int) -> None:
    encoder, images = PixelSequenceEncoder(4, pixels=pixels, channels=1), torch.ones(2, 1, height, width)
    field: Field = encoder(images)
    columns = -(-width // pixels)
    assert field.grid == (height * columns,)
    torch.testing.assert_close(field.weights.sum(1), torch.ones(2))
    covered = (field.weights[0] * height * width).reshape(height, columns)
    torch.testing.assert_close(covered.sum(1), torch.full((height,), float(width)))
    last = width - (columns - 1) * pixels
    pixels_of_last = encoder.projection.weight[:, 0, 0, :last].sum(1) + encoder.projection.bias  # type: ignore[operator]
    torch.testing.assert_close(field.values[0, -1], pixels_of_last)


def test_it_replaces_the_encoder_of_an_image_task() -> None:
    kernel = {"name": "mlp", "heads": 2, "hidden": 8, "support": {"causal": "t"}}
    task = {"name": "fashion-mnist", "root": "fashion-mnist"}
    model = create_model("itnet-nano", depth=1, kernel=kernel, encoder="pixel-sequence", task=task)
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("wrong", [{"pixels": 0}, {"channels": 0}, {"points_per_unit": 0}])
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"PixelSequenceEncoder.{next(iter(wrong))}"):
        PixelSequenceEncoder(8, **wrong)


def test_other_channels_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"PixelSequenceEncoder\(inputs\): .*Configure the encoder with channels=1"):
        PixelSequenceEncoder(8)(torch.rand(2, 1, 8, 8))
