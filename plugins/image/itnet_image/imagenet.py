"""ImageNet-1K."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from itnet_core import DataError
from itnet_core.task import Metric
from itnet_image.classification import Labelled
from itnet_image.folder import ImageFolder


class ImageNet1k(ImageFolder):
    """ILSVRC 2012: `root/train/<wnid>/*.JPEG` and `root/val/<wnid>/*.JPEG`, as torchvision's reader lays it out.

    The published validation pictures are the test split here, as in the literature; the validation split is a part of
    the training pictures. Class names come from `root/imagenet_class_index.json` (number → [wnid, name]) if it is
    there, else the wnids are used. torchvision's own `meta.bin` is a pickle and is not read.
    """

    class Config(ImageFolder.Config):
        """As `image-folder`."""

        label_smoothing: float = 0.1

    expected_classes = 1000
    folders = {"train": "train", "test": "val"}  # noqa: RUF012

    @cached_property
    def classes(self) -> list[str]:
        """The names of the class folders, sorted.

        Raises:
            DataError: they are not 1000.
        """
        folder = self._folder("train")
        wnids = sorted(each.name for each in folder.iterdir() if each.is_dir())
        if len(wnids) != self.expected_classes:
            raise DataError(str(folder), found=f"{len(wnids)} class folders", expected=f"{self.expected_classes}")
        return wnids

    def validation(self) -> Labelled | None:
        """Return `None`: the published validation pictures are the test split."""
        return None

    def metrics(self) -> Mapping[str, Metric]:
        """Return top-1 and top-5 accuracy."""
        top5 = MulticlassAccuracy(len(self.classes), average="micro", top_k=5)
        return {**super().metrics(), "top-5 accuracy": top5}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Return records as other tasks do, with readable names."""
        names = self._names
        return [
            {
                "label": names.get(record["label"], record["label"]),
                "probability": record["probability"],
                "likeliest": {names.get(wnid, wnid): share for wnid, share in record["likeliest"].items()},
            }
            for record in super().describe(prediction)
        ]

    @cached_property
    def _names(self) -> dict[str, str]:
        path = Path(self.config.root).expanduser() / "imagenet_class_index.json"
        if not path.exists():
            return {wnid: wnid for wnid in self.classes}
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")).values())
        except (ValueError, TypeError, AttributeError):
            raise DataError(
                str(path), found="other JSON", expected='{"0": ["n01440764", "tench"], …}', mend="Remove it."
            ) from None
