"""A user's own pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from itnet_core import DataError
from itnet_image.class_folders import ClassFolders, class_names
from itnet_image.classification import Share
from itnet_image.dataset import Labelled
from itnet_image.splits import stratified


class ImageFolder(ClassFolders):
    """Pictures of any size in `root/train/<class>/`, and, if there, `root/val/<class>/` and `root/test/<class>/`.

    Without a `test` folder, a stratified part of the training pictures, chosen once and for all, is the test split.
    Files that do not have a picture's suffix are left out with a warning; those that have one and are no pictures are
    bad samples.
    """

    class Config(ClassFolders.Config):
        """Configuration.

        Attributes:
            channels: 1 to read grey pictures, 3 for colour.
            test_share: share of the training pictures for the test split where there is no `test` folder.
            classes: names of the class folders, in the order of the classes' numbers. Those in `root/train`, sorted,
                where nothing is said; so a checkpoint keeps the names and predicts where the data are not.
        """

        channels: Literal[1, 3] = 3
        test_share: Share = 0.2
        classes: tuple[str, ...] | None = None

        @model_validator(mode="before")
        @classmethod
        def _look_for_classes(cls, data: Any) -> Any:
            if (
                not isinstance(data, Mapping)
                or data.get("classes") is not None
                or not isinstance(data.get("root"), str)
            ):
                return data
            try:
                return {**data, "classes": class_names(Path(data["root"]).expanduser() / "train")}
            except DataError:  # a configuration may be written before the data are there
                return data

    @property
    def channels(self) -> int:  # type: ignore[override]
        """1 for grey, 3 for colour."""
        return self.config.channels

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:  # type: ignore[override]
        """ImageNet's for colour."""
        return ClassFolders.normalization if self.channels == 3 else ([0.449], [0.226])

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the class folders.

        Raises:
            DataError: the configuration does not say them, and there is no folder to find them in.
        """
        return self.config.classes or tuple(class_names(self.folder("train")))

    def training(self) -> Labelled:
        """Return the pictures below `train`, less those held out for the test split if there is no `test` folder."""
        return self._train_and_test[0]

    def validation(self) -> Labelled | None:
        """Return the pictures below `val`, if there is such a folder."""
        return self.pictures("val", self.classes, complete=False) if self.folder("val").is_dir() else None

    def test(self) -> Labelled:
        """Return the pictures below `test`, or those held out."""
        return self._train_and_test[1]

    @cached_property
    def _train_and_test(self) -> tuple[Labelled, Labelled]:
        everything = self.pictures("train", self.classes)
        if self.folder("test").is_dir():
            return everything, self.pictures("test", self.classes, complete=False)
        rest, test = stratified(everything.labels, self.config.test_share, seed=0)
        return everything.select(rest), everything.select(test)
