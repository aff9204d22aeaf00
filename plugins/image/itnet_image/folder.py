"""Pictures in a folder for each class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from pydantic import PositiveInt
from torchvision import datasets
from torchvision.transforms import v2

from itnet_core import DataError
from itnet_image.classification import ImageClassification, Labelled, existing
from itnet_image.dataset import stratified


class ImageFolder(ImageClassification):
    """Pictures of any size in `root/train/<class>/`, and, if there, `root/val/<class>/` and `root/test/<class>/`.

    Without a `test` folder, a stratified fifth of the training pictures, chosen by the seed, is the test split. Files
    that do not have a picture's suffix are left alone; those that have one and are no pictures are bad samples.
    """

    class Config(ImageClassification.Config):
        """Configuration.

        Attributes:
            root: the folder.
            image_size: pictures are resized and cropped to squares of this side, in pixels.
            channels: 1 to read grey pictures, 3 for colour.
            test_share: share of the training pictures for the test split where there is no `test` folder.
        """

        root: str
        image_size: PositiveInt = 224
        channels: Literal[1, 3] = 3
        test_share: float = 0.2

    folders = {"train": "train", "validation": "val", "test": "test"}  # noqa: RUF012

    @property
    def image_size(self) -> int:  # type: ignore[override]
        """Side of the pictures in pixels."""
        return self.config.image_size

    @property
    def channels(self) -> int:  # type: ignore[override]
        """1 for grey, 3 for colour."""
        return self.config.channels

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:  # type: ignore[override]
        """ImageNet's for colour."""
        return ImageClassification.normalization if self.channels == 3 else ([0.5], [0.25])

    @cached_property
    def classes(self) -> list[str]:
        """The names of the class folders, sorted."""
        return sorted(folder.name for folder in self._folder("train").iterdir() if folder.is_dir())

    def training(self) -> Labelled:
        """Return the pictures below `train`, less those held out for the test split if there is no `test` folder."""
        return self._held_out[0] if self._held_out else self._labelled("train")

    def validation(self) -> Labelled | None:
        """Return the pictures below `val`, if there is such a folder."""
        return self._labelled("validation") if self._has("validation") else None

    def test(self) -> Labelled:
        """Return the pictures below `test`, or those held out."""
        return self._held_out[1] if self._held_out else self._labelled("test")

    def training_transform(self) -> v2.Transform:
        """Return random crops of varying scale, and mirroring."""
        crop = v2.RandomResizedCrop(self.image_size, scale=(0.35, 1.0))
        return v2.Compose([crop, v2.RandomHorizontalFlip(), *self._to_tensor()])

    def transform(self) -> v2.Transform:
        """Return a centre crop after resizing the shorter side to 8/7 of the picture's size."""
        size = self.image_size
        return v2.Compose([v2.Resize(size * 8 // 7), v2.CenterCrop(size), *self._to_tensor()])

    @cached_property
    def _held_out(self) -> tuple[Labelled, Labelled] | None:
        if self._has("test"):
            return None
        everything = self._labelled("train")
        rest, test = stratified(everything.labels, self.config.test_share, self.config.seed)
        return everything.select(rest), everything.select(test)

    def _has(self, split: str) -> bool:
        return (Path(self.config.root).expanduser() / self.folders[split]).is_dir()

    def _folder(self, split: str) -> Path:
        return existing(Path(self.config.root) / self.folders[split], "a folder with a folder for each class")

    def _labelled(self, split: str) -> Labelled:
        root = self._folder(split)
        try:
            found = datasets.ImageFolder(str(root), allow_empty=True)
        except FileNotFoundError as error:
            raise DataError(str(root), found=str(error), expected="a folder for each class") from None
        unknown = set(found.classes) - set(self.classes)
        if unknown:
            raise DataError(
                str(root),
                found=f"the class folders {sorted(unknown)}",
                expected=f"the classes of train, {self.classes}",
            )
        if not found.samples:
            suffixes = ", ".join(datasets.folder.IMG_EXTENSIONS)
            raise DataError(str(root), found="no picture", expected=f"files ending in {suffixes}")
        labels = [self.classes.index(found.classes[label]) for _, label in found.samples]
        return Labelled([Path(path) for path, _ in found.samples], torch.tensor(labels))
