from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from itnet_core import Block, Field, IntegralOperator, MLPKernel, Trunk, mean
from itnet_image.encoders.patch import PatchEncoder


def test_a_patch_is_a_linear_map_of_its_pixels_at_its_centre() -> None:
    encoder = PatchEncoder(8, patch_size=4)
    image = torch.randn(1, 3, 8, 12)
    field = encoder(image)
    patch = image[0, :, 4:8, 8:12]
    expected = (encoder.projection.weight * patch).sum((1, 2, 3)) + encoder.projection.bias  # type: ignore[operator]
    torch.testing.assert_close(field.values[0, 5], expected)
    torch.testing.assert_close(field.positions[0, 5], torch.tensor([0, 2 * 10 / 12 - 1, (2 * 6 - 8) / 12, 0]))


def test_a_partial_patch_is_padded_with_zeros() -> None:
    encoder, image = PatchEncoder(8, patch_size=4), torch.randn(2, 3, 6, 9)
    whole = encoder(F.pad(image, (0, 3, 0, 2)))
    torch.testing.assert_close(encoder(image).values, whole.values)


@settings(deadline=None, max_examples=60)
@given(
    longer=st.integers(1, 80),
    shorter=st.integers(1, 80),
    patch_size=st.integers(1, 9),
    image_size=st.one_of(st.none(), st.integers(1, 40)),
)
def test_any_image_and_any_patch_give_a_sound_field(
    longer: int, shorter: int, patch_size: int, image_size: int | None
) -> None:
    """The field's own checks hold, and no row or column of patches lies outside the image."""
    encoder = PatchEncoder(4, patch_size=patch_size, channels=1, image_size=image_size)
    size = (shorter, longer)
    field: Field = encoder(torch.randn(1, 1, *size))
    torch.testing.assert_close(field.weights.sum(-1), torch.ones(1))
    assert (field.weights > 0).all()
    cell = patch_size * max(size) / (image_size or max(size))
    for axis, count in enumerate(field.grid or ()):
        assert (count - 1) * cell < size[axis] * (1 + 1e-9)
        assert size[axis] <= count * cell * (1 + 1e-9)


@pytest.mark.parametrize("factor", [2, 3])
def test_with_image_size_a_finer_image_gives_the_same_features(factor: int) -> None:
    """Where the coarse image is the fine one's mean over pixels, everything is equal."""
    encoder = PatchEncoder(8, patch_size=4, image_size=16)
    fine = torch.randn(2, 3, 12 * factor, 16 * factor)
    coarse = encoder(F.avg_pool2d(fine, factor))
    finer = encoder(fine)
    assert coarse.grid == finer.grid == (3, 4)
    torch.testing.assert_close(coarse.positions, finer.positions)
    torch.testing.assert_close(coarse.weights, finer.weights)
    torch.testing.assert_close(coarse.values, finer.values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [5, 8, 17, 24, 37, 64])
def test_with_image_size_light_is_kept_at_any_resolution(size: int) -> None:
    """A resampling that is not area-preserving changes what an even image gives."""
    encoder = PatchEncoder(8, patch_size=4, image_size=16)
    even = encoder(torch.ones(1, 3, 16, 16)), encoder(torch.ones(1, 3, size, size))
    torch.testing.assert_close(even[0].positions, even[1].positions)
    torch.testing.assert_close(even[0].values, even[1].values)


def _smooth_image(size: int) -> Tensor:
    at = (2 * torch.arange(size) + 1 - size) / size
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([(2 * x).sin() + y, (3 * y).cos() * x, x * y]).unsqueeze(0)


@pytest.mark.parametrize("size", [24, 48, 64])
def test_with_image_size_features_of_a_smooth_image_are_almost_equal(size: int) -> None:
    encoder = PatchEncoder(8, patch_size=4, image_size=32)
    coarse, finer = encoder(_smooth_image(32)).values, encoder(_smooth_image(size)).values
    assert (coarse - finer).norm() < 0.02 * coarse.norm()


def test_the_output_changes_little_when_the_image_is_sampled_twice_as_finely() -> None:
    """With one pixel a point, resolution is a matter of quadrature: the error falls at least as 1/N."""
    encoder = PatchEncoder(16, patch_size=1)
    trunk = Trunk(Block(IntegralOperator(16, MLPKernel(16, heads=2, hidden=8))) for _ in range(2))

    def features(size: int) -> Tensor:
        with torch.no_grad():
            return mean(trunk(encoder(_smooth_image(size))))

    finest = features(64)
    errors = {size: ((features(size) - finest).norm() / finest.norm()).item() for size in (8, 16, 32)}
    assert errors[8] < 0.1
    assert errors[16] < errors[8] / 2
    assert errors[32] < errors[16] / 2
