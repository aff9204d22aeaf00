"""The conformance kit's checks of the tasks, each on the data set that a fixture of its name lays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image

from itnet_testing import TaskConformance


class ImageTextConformance(TaskConformance):
    """What the tasks share.

    Attributes:
        files: name of the fixture that lays out the data set and returns its folder.
        image: the image, or the pair of images, that a user's file names.
    """

    encoder: ClassVar = {"name": "itnet-vision-language/image-text", "image": {"name": "patch", "patch_size": 8}}
    files: ClassVar[str]
    image: ClassVar[str | list[str]] = "mine.png"

    @pytest.fixture(autouse=True)
    def _files(self, request: pytest.FixtureRequest, write_json: Any, write_image: Any) -> None:
        self.root: Path = request.getfixturevalue(self.files)
        self.write_json, self.write_image = write_json, write_image

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return {"root": str(self.root), "image_size": 16}

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        images = (Image.new("RGB", (9, 8)), torch.rand(3, 9, 8))
        if isinstance(self.image, str):
            return [*({"image": image, "text": "red?"} for image in images), (images[0], "red?")]
        return [{"images": images, "text": "red?"}, {"image": images, "text": "red?"}]

    def user_file(self, folder: Path) -> Path:
        self.write_image(folder / "mine.png")
        path: Path = self.write_json(folder / "mine.json", {"image": self.image, "text": "is it red?"})
        return path


class TestEasyVQA(ImageTextConformance):
    component = "itnet-vision-language/easy-vqa"
    files = "easy_vqa"


class TestEasyVQAPairs(ImageTextConformance):
    component = "itnet-vision-language/easy-vqa-pairs"
    encoder: ClassVar = {"name": "itnet-vision-language/image-pair-text", "image": {"name": "patch", "patch_size": 8}}
    files = "easy_vqa_shapes"
    image: ClassVar = ["mine.png", "mine.png"]

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return {**super().prepare(folder), "validation": 0.5}


class TestNLVR2(ImageTextConformance):
    component = "itnet-vision-language/nlvr2"
    encoder: ClassVar = {"name": "itnet-vision-language/image-pair-text", "image": {"name": "patch", "patch_size": 8}}
    files = "nlvr2"
    image: ClassVar = ["mine.png", "mine.png"]


class TestImageTextRetrieval(ImageTextConformance):
    component = "itnet-vision-language/image-text-retrieval"
    files = "karpathy"


class TestVQAv2(ImageTextConformance):
    component = "itnet-vision-language/vqa-v2"
    files = "vqa"
