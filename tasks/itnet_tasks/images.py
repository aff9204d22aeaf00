"""Open image files."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from itnet_core import DataError, open_regular

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are decoded. Pillow would pass others (EPS) to external programs that execute the file's content."""

MODES = {1: "L", 3: "RGB"}


def open_image(path: Path, channels: int) -> Image.Image:
    """Decode a whole image, rotated upright by its EXIF data, as grey (1 channel) or RGB (3 channels).

    The content decides the format, whatever the suffix. Transparent pixels are composed over white, 16-bit grey is
    scaled to 8 bits, and the first of several frames is taken.

    Raises:
        DataError: the file is missing, empty, truncated, in none of `FORMATS`, larger than Pillow's limit, or contains
            numbers that are not grey levels.
    """
    expected = f"a complete image, one of {', '.join(FORMATS)}"
    try:
        with open_regular(path) as file, Image.open(file, formats=FORMATS) as opened:
            pixels, most = opened.width * opened.height, Image.MAX_IMAGE_PIXELS
            if most is not None and pixels > most:  # of up to twice as many Pillow only warns
                raise Image.DecompressionBombError(f"{pixels} pixels; at most {most} are read")
            opened.load()
            image = ImageOps.exif_transpose(opened)
    except FileNotFoundError:
        raise DataError(str(path), found="no such file", expected=expected) from None
    except UnidentifiedImageError:
        found = "an empty file" if path.stat().st_size == 0 else "a file of another format"
        raise DataError(str(path), found=found, expected=expected, hint="Remove it, or convert it to PNG.") from None
    except Exception as error:  # a damaged file makes decoders raise anything, struct.error and IndexError among them
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        found = f"a damaged or unreadable file ({reason})"
        raise DataError(str(path), found=found, expected=expected, hint="Replace or remove it.") from error
    return _as_mode(image, MODES[channels], path)


def _as_mode(image: Image.Image, mode: str, path: Path) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image, path)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """Scale 16-bit grey to 8 bits; converting would clip it."""
    whole = None if image.mode == "F" else image.convert("I")
    extrema = image.getextrema() if whole is None else whole.getextrema()
    if whole is None or not 0 <= extrema[0] <= extrema[1] < 2**16:  # type: ignore[operator]  # one band: two numbers
        raise DataError(
            str(path),
            found=f"numbers from {extrema[0]} to {extrema[1]} (Pillow's mode {image.mode})",
            expected="levels of grey of 8 or 16 bits",
            hint="Convert it to 8 bits, so that black and white are fixed.",
        )
    return whole.point(lambda level: level / 256).convert("L")
