"""Pictures of any size in one folder for each class."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt, PositiveInt
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, has_file_allowed_extension, make_dataset
from torchvision.transforms import v2

from itnet_core import DataError
from itnet_image.dataset import Labelled
from itnet_image.errors import SkippedSampleWarning
from itnet_image.image_classification import ImageClassification


class ClassFolders(ImageClassification):
    """Base of data sets of photographs in folders."""

    class Config(ImageClassification.Config):
        """Configuration.

        Attributes:
            root: the folder that holds the splits' folders.
            image_size: pictures are resized and cropped to squares of this side, in pixels.
            smallest_crop: training crops at random, and keeps at least this share of a picture's area.
            rand_augment: number of RandAugment's operations on each training picture.
        """

        root: str
        image_size: PositiveInt = 224
        smallest_crop: Annotated[float, ConfigField(gt=0, le=1)] = 0.35
        rand_augment: NonNegativeInt = 0

    @property
    def image_size(self) -> int:  # type: ignore[override]
        """Side of the pictures in pixels."""
        return self.config.image_size

    def preparation(self) -> list[v2.Transform]:
        """Return a centre crop after resizing the shorter side to 8/7 of the picture's size, as is common."""
        return [v2.Resize(self.image_size * 8 // 7), v2.CenterCrop(self.image_size)]

    def augmentation(self) -> list[v2.Transform]:
        """Return random crops of varying scale, and RandAugment."""
        crop = v2.RandomResizedCrop(self.image_size, scale=(self.config.smallest_crop, 1.0))
        return [crop, v2.RandAugment(self.config.rand_augment)] if self.config.rand_augment else [crop]

    def folder(self, split: str) -> Path:
        """Return the folder of a split, there or not."""
        return Path(self.config.root).expanduser() / split

    def pictures(self, split: str, class_folders: Sequence[str], *, complete: bool = True) -> Labelled:
        """Return the picture files below a split's folder, in a fixed order.

        Files without a picture's suffix are left out; a warning counts them.

        Args:
            split: the folder's name.
            class_folders: the names of the folders, in the order of the classes' numbers.
            complete: whether each class has to have a picture.

        Raises:
            DataError: the folder is not there, holds the folder of another class, or has no picture of a class.
        """
        root = self.folder(split)
        unknown = sorted(set(class_names(root)) - set(class_folders))
        if unknown:
            raise DataError(
                str(root),
                found=f"{len(unknown)} unknown class folders, {unknown[0]} the first",
                expected=f"some of the {len(class_folders)} classes, {class_folders[0]} to {class_folders[-1]}",
                mend="Splits have classes of the same names.",
            )
        others: list[str] = []

        def is_picture(path: str) -> bool:
            fits = has_file_allowed_extension(path, IMG_EXTENSIONS)
            if not fits and not Path(path).name.startswith("."):
                others.append(path)
            return fits

        numbers = {name: number for number, name in enumerate(class_folders)}
        try:
            files = make_dataset(root, numbers, is_valid_file=is_picture, allow_empty=not complete)
        except FileNotFoundError as error:
            suffixes = ", ".join(IMG_EXTENSIONS)
            raise DataError(str(root), found=str(error), expected=f"files ending in {suffixes}") from None
        if others:
            left_out = f"{len(others)} of {len(others) + len(files)} files left out, by their suffix: {others[0]}"
            warnings.warn(left_out + (" and others" if len(others) > 1 else ""), SkippedSampleWarning, stacklevel=2)
        return Labelled([Path(path) for path, _ in files], torch.tensor([number for _, number in files]))


def class_names(root: Path) -> list[str]:
    """Return the names of the folders in `root`, sorted.

    Raises:
        DataError: there is no such folder, or none in it.
    """
    if not root.is_dir():
        mend = "Set root to the folder that holds it."
        raise DataError(str(root), found="no such folder", expected="a folder with one for each class", mend=mend)
    try:
        return find_classes(root)[0]
    except FileNotFoundError:
        raise DataError(str(root), found="no folder in it", expected="a folder for each class") from None
