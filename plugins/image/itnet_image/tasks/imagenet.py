"""ImageNet-1K."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from itnet_core import DataError, Metric
from itnet_image.tasks.photographs import Photographs
from itnet_tasks import Labelled, Share, Smoothing, class_files, class_names
from itnet_tasks.images import SUFFIXES


class ImageNet1k(Photographs):
    """ILSVRC 2012: `root/train/<wnid>/*.JPEG` and `root/val/<wnid>/*.JPEG`, torchvision's layout.

    The published validation images are the test split, as in the literature, because the test labels are not public;
    the validation split is a part of the training images. Classes are numbered by their sorted wnids, and torchvision
    supplies their names, so that neither the devkit nor `meta.bin` is needed.

    Example:
        >>> task = ImageNet1k(root="imagenet")
        >>> task.classes[:2], list(task.metrics())
        (['tench', 'goldfish'], ['accuracy', 'top5_accuracy'])
    """

    class Config(Photographs.Config):
        validation: Share = 0.02
        """Share of the training images held out for validation."""

        label_smoothing: Smoothing = 0.1
        """Label smoothing of the cross entropy."""

    @property
    def classes(self) -> list[str]:
        """Names of the 1000 classes."""
        from torchvision.models import ResNet18_Weights  # a second of imports

        return list(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])

    def training(self) -> Labelled:
        """Return the 1,281,167 training images."""
        return class_files(self._folder("train"), self._wnids, SUFFIXES)

    def test(self) -> Labelled:
        """Return the 50,000 published validation images."""
        return class_files(self._folder("val"), self._wnids, SUFFIXES)

    def metrics(self) -> Mapping[str, Metric]:
        """Return top-1 and top-5 accuracy."""
        from torchmetrics.classification import MulticlassAccuracy  # as in Classification.metrics

        top5 = MulticlassAccuracy(len(self.classes), average="micro", top_k=5)
        return {**super().metrics(), "top5_accuracy": top5}

    @cached_property
    def _wnids(self) -> list[str]:
        # Class numbers need all wnids, so `val` alone is enough for evaluation.
        split = "train" if self._folder("train").is_dir() else "val"
        wnids = class_names(self._folder(split))
        if len(wnids) != len(self.classes):
            raise DataError(
                str(self._folder(split)),
                found=f"{len(wnids)} class folders",
                expected=f"{len(self.classes)}, one for each wnid",
                hint="For a part of ImageNet, or other classes, use the task image-folder.",
            )
        return wnids

    def _folder(self, split: str) -> Path:
        return Path(self.config.root).expanduser() / split
