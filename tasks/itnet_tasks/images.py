"""Open image files, take users' images, and prepare them for encoders.

The preparation equals torchvision's transforms, whose import takes a second and 160 MB, so that predictions need not
import it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from itnet_core import DataError, open_regular
from itnet_tasks.values import PLACE, as_array

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are decoded. Pillow would pass others (EPS) to external programs that execute the file's content."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
"""Suffixes of image files; the content decides how a file is decoded."""

EXPECTED = f"a complete image, one of {', '.join(FORMATS)}"

MODES = {1: "L", 3: "RGB"}


def open_image(path: Path, channels: int) -> Image.Image:
    """Decode a whole image of a file; see `decode_image`.

    Raises:
        DataError: the file is missing, or as for `decode_image`.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        raise DataError(str(path), found="no such file", expected=EXPECTED) from None
    except (OSError, ValueError) as error:
        raise _damaged(str(path), error) from error
    with file:
        return decode_image(file, channels, str(path))


def decode_image(file: BinaryIO, channels: int, place: str) -> Image.Image:
    """Decode a whole image, rotated upright by its EXIF data, as grey (1 channel) or RGB (3 channels).

    The content decides the format, whatever the suffix. Transparent pixels are composed over white, 16-bit grey is
    scaled to 8 bits, and the first of several frames is taken.

    Args:
        file: the bytes of the image.
        channels: 1 or 3.
        place: where they come from, for errors.

    Raises:
        DataError: the image is empty, truncated, in none of `FORMATS`, larger than Pillow's limit, or contains numbers
            that are not grey levels.
    """
    try:
        with Image.open(file, formats=FORMATS) as opened:
            pixels, most = opened.width * opened.height, Image.MAX_IMAGE_PIXELS
            if most is not None and pixels > most:  # of up to twice as many Pillow only warns
                raise Image.DecompressionBombError(f"{pixels} pixels; at most {most} are read")
            opened.load()
            ImageOps.exif_transpose(opened, in_place=True)
            image: Image.Image = opened
    except UnidentifiedImageError:
        found = "a file of another format" if file.seek(0, os.SEEK_END) else "an empty file"
        raise DataError(place, found=found, expected=EXPECTED, hint="Remove it, or convert it to PNG.") from None
    except Exception as error:  # a damaged file makes decoders raise anything, struct.error and IndexError among them
        raise _damaged(place, error) from error
    return _as_mode(image, MODES[channels], place)


def _damaged(place: str, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    found = f"a damaged or unreadable file ({reason})"
    return DataError(place, found=found, expected=EXPECTED, hint="Replace or remove it.")


def take_image(value: Any, channels: int) -> Image.Image:
    """Return a user's image as grey (1 channel) or RGB (3 channels).

    Example:
        >>> take_image(np.zeros((8, 6, 3), np.uint8), channels=1).size, take_image(torch.rand(3, 8, 6), channels=3).mode
        ((6, 8), 'RGB')

    Args:
        value: an image of Pillow; or pixels, 0 to 255 as whole numbers or 0 to 1 as floats, of shape (H, W) or
            (H, W, 1, 3 or 4), or as a tensor of shape (H, W) or (1, 3 or 4, H, W).
        channels: 1 or 3.

    Raises:
        DataError: it is another value, or has other numbers.
    """
    if isinstance(value, Image.Image):
        return _as_mode(ImageOps.exif_transpose(value), MODES[channels], PLACE)
    expected = "an image of Pillow, or pixels (H, W) or (H, W, channels), of a tensor (channels, H, W), with 1, 3 or 4"
    pixels = as_array(value, expected, ndim=(2, 3))
    if pixels.ndim == 3 and isinstance(value, Tensor):
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4):
        raise DataError(PLACE, found=f"an array of shape {pixels.shape}", expected=expected)
    most = 1 if pixels.dtype.kind in "bf" else 255
    if not (pixels.min() >= 0 and pixels.max() <= most):
        found = f"{pixels.dtype} from {pixels.min()} to {pixels.max()}"
        raise DataError(PLACE, found=found, expected="whole numbers from 0 to 255, or floats from 0 to 1")
    eight_bits = np.rint(pixels * (255 / most)).astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        eight_bits = eight_bits[:, :, 0]
    return _as_mode(Image.fromarray(eight_bits), MODES[channels], PLACE)


def centre_square(image: Image.Image, shorter: int, side: int) -> Image.Image:
    """Resize the shorter side of an image to `shorter` pixels, and crop a square of `side` pixels from its centre.

    It equals torchvision's `Resize(shorter)` and `CenterCrop(side)`.
    """
    width, height = image.size
    longer = shorter * max(width, height) // min(width, height)
    image = image.resize((shorter, longer) if width <= height else (longer, shorter), Image.Resampling.BILINEAR)
    left, top = (round((size - side) / 2) for size in image.size)
    return image.crop((left, top, left + side, top + side))


def normalized_tensor(image: Image.Image, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return an image as a tensor (C, H, W), with `mean` subtracted from pixels in [0, 1], and divided by `std`."""
    pixels = torch.from_numpy(np.array(image)).view(image.height, image.width, -1).permute(2, 0, 1).contiguous()
    shape = (-1, 1, 1)
    return (pixels.float() * (1.0 / 255) - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)


def _as_mode(image: Image.Image, mode: str, place: str) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image, place)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)  # which copies in any case


def _eight_bits(image: Image.Image, place: str) -> Image.Image:
    """Scale 16-bit grey to 8 bits; converting would clip it."""
    whole = None if image.mode == "F" else image.convert("I")
    extrema = image.getextrema() if whole is None else whole.getextrema()
    if whole is None or not 0 <= extrema[0] <= extrema[1] < 2**16:  # type: ignore[operator]  # one band: two numbers
        raise DataError(
            place,
            found=f"numbers from {extrema[0]} to {extrema[1]} (Pillow's mode {image.mode})",
            expected="levels of grey of 8 or 16 bits",
            hint="Convert it to 8 bits, so that black and white are fixed.",
        )
    return whole.point(lambda level: level / 256).convert("L")
