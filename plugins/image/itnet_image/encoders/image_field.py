"""Check batches of images, and place their cells in space-time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from itnet_core import Field, ShapeError


def check_images(images: Tensor, channels: int, place: str) -> None:
    """Check that a batch is floating images of shape (B, channels, H, W).

    Raises:
        ShapeError: the rank, the dtype or the number of channels differs, an image is empty, or a pixel is not finite.
    """
    expected = f"a finite floating tensor of shape (B, {channels}, H, W)"
    if not isinstance(images, Tensor):
        raise ShapeError(place, found=type(images).__name__, expected=expected)
    found = f"{images.dtype} of shape {tuple(images.shape)}"
    if images.ndim != 4 or not images.is_floating_point() or 0 in images.shape:
        raise ShapeError(place, found=found, expected=expected)
    if images.shape[1] != channels:
        hint = f"Configure the encoder with channels={images.shape[1]}, or convert the images."
        raise ShapeError(place, found=found, expected=expected, hint=hint)
    if not torch.compiler.is_compiling() and not images.isfinite().all():
        raise ShapeError(place, found="pixels that are NaN or infinite", expected=expected)


def image_field(values: Tensor, size: tuple[int, int], cell: float, *, point: float | None = None) -> Field:
    """Return the field of an image's cells.

    Positions lie on the axes y and x of space-time, in units in which the image's longer side is [−1, 1]; so they do
    not depend on its resolution. A cell that extends beyond the image has the weight of the part inside it.

    Args:
        values: shape (B, rows, columns, d), cells from the upper left corner.
        size: height and width of the image in pixels.
        cell: side of a cell in pixels; it need not be a whole number.
        point: distance of a cell's point from the cell's upper left corner on both axes, in pixels; by default the
            centre.
    """
    longer: Any = torch.sym_max(*size)  # of exported graphs' sizes too
    shift = 0.0 if point is None else point - cell / 2
    bounds = [
        ((2 * shift - side) / longer, (2 * (shift + count * cell) - side) / longer)
        for side, count in zip(size, values.shape[1:3], strict=True)
    ]
    return Field.on_grid(values, axes="yx", bounds=bounds, inside=[side / cell for side in size])
