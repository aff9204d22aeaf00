"""Base of tasks on images with texts: load, normalise and collate them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import torch
from PIL import Image
from pydantic import Field as ConfigField
from pydantic import PositiveInt
from torch import Tensor
from typing_extensions import TypedDict

from itnet_core import DataError
from itnet_tasks import LabelledTask, check_inside, unreadable, warn_skipped
from itnet_tasks.images import normalized_tensor, open_image, take_image
from itnet_tasks.values import PLACE
from itnet_vision_language.data.json_files import check_text, read_json
from itnet_vision_language.inputs import ImageText

T = TypeVar("T")

Modality = Literal["image", "text"]

NO_TEXT = "?"
"""Replaces a missing text; encoders need some text."""


class ImageTextFiles(NamedTuple):
    """A sample's images, as files or in memory, and its text."""

    images: tuple[Path | Image.Image, ...]
    text: str


class Described(TypedDict):
    """A user's sample as a JSON file: the images' files, in its folder or below, and the text."""

    image: str | list[str]
    text: str


class ImageTextTask(LabelledTask):
    """Base of tasks on square images of one size, normalised, each with a text.

    Images are squeezed to the square and not cropped, because a text may be about any part of them; and they are not
    mirrored, because a text may mention left and right.

    Attributes:
        images: number of images per text.
        normalization: mean and standard deviation of each channel, for pixels in [0, 1].
    """

    class Config(LabelledTask.Config):
        root: str
        """Folder of the data."""

        image_size: PositiveInt = 224
        """Side of the square images that encoders get, in pixels."""

        evaluation_missing: Modality | None = None
        """Modality that is missing in evaluation, to measure robustness: `image` replaces each image by the mean color,
        which is 0 after normalisation; `text` replaces each text by a question mark."""

        modality_dropout: Annotated[float, ConfigField(ge=0, le=0.5)] = 0.0
        """Probability of replacing a training sample's images, as `evaluation_missing` does, and of replacing its text
        instead; never both."""

    modality = "image-text"
    suffixes = (".json",)
    mixes_sizes = True
    images: int = 1
    normalization: tuple[Sequence[float], Sequence[float]] = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

    @property
    def root(self) -> Path:
        """Folder of the data."""
        return Path(self.config.root).expanduser()

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """Channels, size and normalisation of the images."""
        mean, std = self.normalization
        image = {"channels": 3, "image_size": self.config.image_size}
        return {"image": image, "mean": list(mean), "std": list(std)}

    def loader(self, *, training: bool) -> Callable[[ImageTextFiles | Path], tuple[Tensor, str]]:
        """Return a function from a source, or a user's JSON file, to normalised images and a text."""
        c, (mean, std) = self.config, self.normalization
        transform = partial(squeezed_tensor, side=c.image_size, mean=mean, std=std)
        missing, dropout = (None, c.modality_dropout) if training else (c.evaluation_missing, 0.0)
        return partial(load, transform=transform, count=self.images, missing=missing, dropout=dropout)

    def source_of(self, value: Any) -> ImageTextFiles:
        """Return a user's sample: a mapping of `image`, or `images` for several, and `text`; or (image, text).

        An image is a `Path`, an image of Pillow, or an array; see `take_image`.

        Raises:
            DataError: it is another value, or has another number of images.
        """
        expected = "a mapping of image and text" if self.images == 1 else f"a mapping of {self.images} images and text"
        if isinstance(value, tuple) and len(value) == 2:
            value = {"image": value[0], "text": value[1]}
        if not isinstance(value, Mapping) or "text" not in value or not {"image", "images"} & value.keys():
            raise unreadable(value, expected)
        given = value["images"] if "images" in value else value["image"]
        images = [given] if self.images == 1 and not (isinstance(given, list | tuple) and len(given) == 1) else given
        if not isinstance(images, list | tuple) or len(images) != self.images:
            found = f"{len(images)} images" if isinstance(images, list | tuple) else f"a {type(images).__name__}"
            raise DataError(PLACE, found=found, expected=expected)
        check_text(value["text"], f"{PLACE}.text")
        taken = (image if isinstance(image, Path) else take_image(image, 3) for image in images)
        return ImageTextFiles(tuple(taken), value["text"])

    def collate_inputs(self, inputs: Sequence[tuple[Tensor, str]]) -> ImageText:
        """Collate images (B, C, H, W), or (B, 2, C, H, W) for two per text, and B texts."""
        return ImageText(torch.stack([images for images, _ in inputs]), [text for _, text in inputs])

    def drop_errors(self, samples: Iterable[T | DataError], place: Path) -> list[T]:
        """Return the samples without the errors, which are refused or skipped as `on_bad_sample` configures.

        Raises:
            DataError: a sample is an error and `on_bad_sample` is `refuse`, or no sample is left.
        """
        good: list[T] = []
        errors: list[DataError] = []
        for sample in samples:
            if isinstance(sample, DataError):
                errors.append(sample)
            else:
                good.append(sample)
        if errors and (self.config.on_bad_sample == "refuse" or not good):
            errors[0].hint = f"{errors[0].hint} Or leave such samples out with on_bad_sample: skip.".strip()
            raise errors[0]
        if errors:
            warn_skipped(len(errors), len(errors) + len(good), str(errors[0]))
        if not good:
            raise DataError(str(place), found="no sample", expected="at least one")
        return good


def load(
    source: ImageTextFiles | Path,
    *,
    transform: Callable[[Image.Image], Tensor],
    count: int,
    missing: Modality | None,
    dropout: float,
) -> tuple[Tensor, str]:
    """Load a sample's images, (C, H, W) or (count, C, H, W) for more than one, and its text.

    One of them is replaced if it is `missing`, and each with probability `dropout`.

    Raises:
        DataError: a file contains no intact image, or a user's file does not describe a sample.
    """
    if isinstance(source, Path):
        source = read_sample(source, count)
    opened = (open_image(image, 3) if isinstance(image, Path) else image for image in source.images)
    loaded = [transform(image) for image in opened]
    images, text = (loaded[0] if count == 1 else torch.stack(loaded)), source.text
    if dropout:
        drawn = float(torch.rand(()))
        missing = "image" if drawn < dropout else "text" if drawn >= 1 - dropout else None
    return torch.zeros_like(images) if missing == "image" else images, NO_TEXT if missing == "text" else text


def squeezed_tensor(image: Image.Image, side: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return an image that is resized to a square as a normalised tensor (C, side, side)."""
    return normalized_tensor(image.resize((side, side), Image.Resampling.BILINEAR), mean, std)


def read_sample(path: Path, count: int) -> ImageTextFiles:
    """Read the sample that a user's file describes.

    Raises:
        DataError: it describes none, or one with another number of images, or with images elsewhere.
    """
    expected = '{"image": "image.png", "text": "…"}' if count == 1 else '{"image": ["left.png", …], "text": "…"}'
    content = read_json(path, Described, expected)
    names = [content["image"]] if isinstance(content["image"], str) else content["image"]
    if len(names) != count:
        raise DataError(f"{path}.image", found=f"{len(names)} images", expected=f"{count}, as in {expected}")
    check_text(content["text"], f"{path}.text")
    return ImageTextFiles(tuple(path.parent / check_inside(name, f"{path}.image") for name in names), content["text"])
