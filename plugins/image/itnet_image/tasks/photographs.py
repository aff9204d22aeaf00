"""Base of data sets of image files of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field as ConfigField
from pydantic import PositiveInt

from itnet_core import Split
from itnet_image.tasks.image_classification import ImageClassification
from itnet_tasks import LabelledDataset
from itnet_tasks.array_cache import ArrayCache
from itnet_tasks.cache_folder import cache_folder, file_facts, fingerprint
from itnet_tasks.stored import Stored

if TYPE_CHECKING:
    from torchvision.transforms import v2


class Photographs(ImageClassification):
    """Base of data sets of photographs: resized and cropped for evaluation, cropped at random for training."""

    class Config(ImageClassification.Config):
        root: str
        """Folder of the images."""

        image_size: PositiveInt = 224
        """Side of the square that images are resized and cropped to, in pixels."""

        smallest_crop: Annotated[float, ConfigField(gt=0, le=1)] = 0.35
        """Smallest share of an image's area that a random training crop keeps."""

        cache_gigabytes: Annotated[float, ConfigField(ge=0)] = 0.0
        """Largest size of the file of a split's decoded images in the cache folder; 0 for no such file."""

    @property
    def image_size(self) -> int:  # type: ignore[override]
        """Side of the images in pixels."""
        return self.config.image_size

    def dataset(self, split: Split) -> LabelledDataset:
        """Return the samples of a split, from the cache if there is one; augmentation is never cached."""
        samples = super().dataset(split)
        if most := int(self.config.cache_gigabytes * 1e9):
            name = fingerprint("images", self.channels, self.version_of(samples.sources))
            cache = ArrayCache(cache_folder() / name, len(samples), most)
            samples.sources = CachedImages(samples.sources, self.decode, cache)
        return samples

    def version_of(self, sources: Any) -> Any:
        """Return what changes with the content of sources, for the cache; they are files, or in large ones."""
        return sources.version() if isinstance(sources, Stored) else [file_facts(path) for path in sources]

    @property
    def shorter_side(self) -> int:
        """8/7 of `image_size`, as is common."""
        return self.image_size * 8 // 7

    def augmentation(self) -> list[v2.Transform]:
        """Return random resized crops."""
        from torchvision.transforms import v2

        return [v2.RandomResizedCrop(self.image_size, scale=(self.config.smallest_crop, 1.0))]


@dataclass(frozen=True)
class CachedImages(Sequence[Any]):
    """Decoded images of some sources; each is decoded once."""

    sources: Any
    decode: Callable[[Any], Image.Image]
    cache: ArrayCache

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: Any) -> Any:
        pixels = self.cache.get(index, lambda: self._pixels(index))
        return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        return np.atleast_3d(np.asarray(self.decode(self.sources[index])))


class OwnPhotographs(Photographs):
    """Base of users' own data sets of photographs."""

    class Config(Photographs.Config):
        channels: Literal[1, 3] = 3
        """1 to read grey images, 3 for colour."""

    @property
    def channels(self) -> int:  # type: ignore[override]
        """1 for grey, 3 for colour."""
        return self.config.channels

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:  # type: ignore[override]
        """ImageNet's mean and standard deviation for colour, and their averages for grey."""
        return Photographs.normalization if self.channels == 3 else ([0.449], [0.226])
