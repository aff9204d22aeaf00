from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import Encoder, IntegralOperator, MLPKernel, ShapeError, Trunk
from itnet_core.head import mean
from itnet_image.conv_stem import ConvStemEncoder
from itnet_image.patch import PatchEncoder

ENCODERS = [
    lambda **options: PatchEncoder(8, patch_size=4, **options),
    lambda **options: ConvStemEncoder(8, halvings=2, **options),
]


@pytest.mark.parametrize("make", ENCODERS, ids=["patch", "conv-stem"])
@pytest.mark.parametrize("size", [(16, 16), (8, 32), (13, 18), (1, 1), (5, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_gives_a_field_of_its_cells(make: Any, size: tuple[int, int], channels: int) -> None:
    field = make(channels=channels)(torch.randn(2, channels, *size))
    rows, columns = -(-size[0] // 4), -(-size[1] // 4)
    assert field.grid == (rows, columns)
    assert field.values.shape == (2, rows * columns, 8)
    t, x, y, z = field.positions.unbind(-1)
    assert not t.any()
    assert not z.any()
    # Pixel r's centre lies at (2 r + 1 - H) / longer; a cell's centre is the mean of its four pixels'.
    longer = max(size)
    rows_at = (2 * (4 * torch.arange(rows) + 2) - size[0]) / longer
    columns_at = (2 * (4 * torch.arange(columns) + 2) - size[1]) / longer
    torch.testing.assert_close(y[0], rows_at.repeat_interleave(columns))
    torch.testing.assert_close(x[0], columns_at.repeat(rows))
    torch.testing.assert_close(field.weights.sum(-1), torch.ones(2))
    full = field.weights[0].view(rows, columns)[: size[0] // 4, : size[1] // 4]
    torch.testing.assert_close(full, torch.full_like(full, 16 / (size[0] * size[1])))


@pytest.mark.parametrize("make", ENCODERS, ids=["patch", "conv-stem"])
@pytest.mark.parametrize("size", [(32, 32), (27, 38)])
def test_a_cell_is_where_its_pixels_are(make: Any, size: tuple[int, int]) -> None:
    """With equal weights, the pixels that a cell depends on lie around its position."""
    encoder = make(channels=1)
    for module in list(encoder.modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.GroupNorm):  # depends on the whole picture
            module.forward = lambda values: values  # type: ignore[method-assign]
    picture = torch.ones(1, 1, *size, requires_grad=True)
    field = encoder(picture)
    rows, columns = field.grid
    inner = rows // 2 * columns + columns // 2
    (gradient,) = torch.autograd.grad(field.values[0, inner].sum(), picture)
    y, x = ((2 * torch.arange(side) + 1 - side) / max(size) for side in size)
    weight = gradient[0, 0] / gradient.sum()
    centroid = torch.stack([(weight.sum(0) * x).sum(), (weight.sum(1) * y).sum()])
    torch.testing.assert_close(centroid, field.positions[0, inner, 1:3], rtol=0, atol=1e-5)


def test_a_patch_is_a_linear_map_of_its_pixels() -> None:
    encoder = PatchEncoder(8, patch_size=4)
    picture = torch.randn(1, 3, 8, 12)
    patch = picture[0, :, 4:8, 8:12]
    expected = (encoder.projection.weight * patch).sum((1, 2, 3)) + encoder.projection.bias
    torch.testing.assert_close(encoder(picture).values[0, 5], expected)


@pytest.mark.parametrize("factor", [2, 3])
def test_with_image_size_a_finer_picture_gives_the_same_features(factor: int) -> None:
    """Where the coarse picture is the fine one's mean over pixels, the features are equal."""
    encoder = PatchEncoder(8, patch_size=4, image_size=16)
    fine = torch.randn(2, 3, 16 * factor, 16 * factor)
    constant_on_pixels = F.avg_pool2d(fine, factor)
    features = encoder(constant_on_pixels), encoder(fine)
    assert features[0].grid == features[1].grid == (4, 4)
    torch.testing.assert_close(features[0].positions, features[1].positions)
    torch.testing.assert_close(features[0].values, features[1].values, rtol=1e-4, atol=1e-5)


def _smooth_picture(size: int) -> Tensor:
    at = (2 * torch.arange(size) + 1 - size) / size
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([(2 * x).sin() + y, (3 * y).cos() * x, x * y]).unsqueeze(0)


def test_the_output_changes_little_when_the_picture_is_sampled_twice_as_finely() -> None:
    """With one pixel a point, resolution is a matter of quadrature: the error falls at least as 1/N."""
    encoder = PatchEncoder(16, patch_size=1)
    trunk = Trunk(IntegralOperator(16, MLPKernel(16, heads=2, hidden=8)) for _ in range(2))

    def features(size: int) -> Tensor:
        with torch.no_grad():
            return mean(trunk(encoder(_smooth_picture(size))))

    finest = features(64)
    errors = {size: ((features(size) - finest).norm() / finest.norm()).item() for size in (8, 16, 32)}
    assert errors[8] < 0.1
    assert errors[16] < errors[8] / 2
    assert errors[32] < errors[16] / 2


@pytest.mark.parametrize("make", ENCODERS, ids=["patch", "conv-stem"])
@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (torch.zeros(3, 8, 8), r"found torch.float32 of shape \(3, 8, 8\); expected a finite"),
        (torch.zeros(1, 1, 8, 8), "Configure the encoder with channels=1"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "torch.uint8"),
        (torch.full((1, 3, 8, 8), torch.nan), "NaN or infinite"),
        (torch.zeros(1, 3, 0, 8), r"\(1, 3, 0, 8\)"),
        ("picture.png", "found str"),
    ],
)
def test_what_is_no_batch_of_pictures_is_refused(make: Any, pictures: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        make(channels=3)(pictures)


@pytest.mark.parametrize("make", ENCODERS, ids=["patch", "conv-stem"])
def test_samples_do_not_see_each_other_and_gradients_reach_everything(make: Any) -> None:
    encoder: Encoder = make(channels=3)
    pictures = torch.randn(3, 3, 9, 14)
    together = encoder(pictures)
    alone = torch.cat([encoder(picture.unsqueeze(0)).values for picture in pictures])
    torch.testing.assert_close(together.values, alone, rtol=1e-4, atol=1e-5)
    together.values.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.parameters())
