"""Resample images by area."""

from __future__ import annotations

import torch
from torch import Tensor


def resample(images: Tensor, size: tuple[int, int], pixel: float) -> Tensor:
    """Resample images to a raster of `size` pixels that begins at the same corner.

    An image is constant on each of its pixels, and 0 beyond its edges. Each new pixel is the mean over its area, so
    that the integral over any union of new pixels is preserved exactly.

    Args:
        images: shape (..., H, W).
        size: rows and columns of the new raster.
        pixel: side of a new pixel, in old pixels.

    Returns:
        Shape (..., *size).
    """
    down, across = (
        _shares(count, pixel, length).to(images) for count, length in zip(size, images.shape[-2:], strict=True)
    )
    return down @ images @ across.T


def _shares(count: int, pixel: float, length: int) -> Tensor:
    """Compute the share of each of `count` new pixels, in a row, that each of `length` old pixels covers."""
    new = torch.arange(count, dtype=torch.float64).unsqueeze(1) * pixel
    old = torch.arange(length, dtype=torch.float64)
    return (torch.minimum(new + pixel, old + 1) - torch.maximum(new, old)).clamp(min=0) / pixel
