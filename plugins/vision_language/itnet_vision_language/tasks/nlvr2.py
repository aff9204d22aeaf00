"""NLVR2."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NotRequired

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import TypedDict

from itnet_core import DataError, Metric
from itnet_tasks import Classification, Labelled
from itnet_vision_language.data.json_files import check_text, read_json_lines
from itnet_vision_language.tasks.image_text_task import ImageTextFiles, ImageTextTask

LINES = '{"identifier": "train-10171-0-0", "sentence": "…", "label": "True", …} a line, as NLVR2 is published'
IDENTIFIER = re.compile(r"(\w+-\d+)-(\d+)-(\d+)")
"""split-set-pair-sentence; a sentence was written for a set of pairs."""


class Example(TypedDict):
    """A line of the published files."""

    identifier: str
    sentence: str
    label: str
    directory: NotRequired[int]


class NLVR2(ImageTextTask, Classification):
    """Is a sentence true of two photographs? 86,373 training examples (Suhr et al., arXiv 1811.00491).

    Reads the published `train.json`, `dev.json` (validation) and `test1.json` (test) in `root`, and the images
    `images/train/<directory>/<split>-<set>-<pair>-img0.png`, `images/dev/…` and `images/test1/…`; `-img0` is the left
    one.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> for name in ("left.png", "right.png"):
        ...     Image.new("RGB", (40, 30)).save(name)
        >>> _ = Path("pair.json").write_text('{"image": ["left.png", "right.png"], "text": "Both are black."}')
        >>> images, text = NLVR2(root="nlvr2", image_size=32).read(Path("pair.json")).inputs
        >>> images.shape, text
        (torch.Size([2, 3, 32, 32]), 'Both are black.')
    """

    class Config(ImageTextTask.Config, Classification.Config):
        """`validation` and `seed` have no effect, because the data set has a validation split."""

    modality = "image-pair-text"
    images = 2
    classes = ("False", "True")
    accepts_probabilities = False

    def training(self) -> Labelled:
        """Return the training examples."""
        return self._split("train")

    def validation(self) -> Labelled:
        """Return the published development examples."""
        return self._split("dev")

    def test(self) -> Labelled:
        """Return the published public test examples."""
        return self._split("test1")

    def loss(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Compute the cross entropy of logits (B, 2) and targets (B, 2): truth, and the sentence's number."""
        return F.cross_entropy(prediction, targets[:, 0], label_smoothing=self.config.label_smoothing)

    def metrics(self) -> Mapping[str, Metric]:
        """Return the official metrics, accuracy and consistency."""
        from itnet_vision_language.metrics.consistency import Accuracy, Consistency  # seconds of imports

        return {"accuracy": Accuracy(), "consistency": Consistency()}

    def _split(self, split: str) -> Labelled:
        path = self.root / f"{split}.json"
        lines = read_json_lines(path, Example, LINES)
        samples = self.drop_errors(self._samples(lines, split), path)
        sentences = {name: number for number, name in enumerate(dict.fromkeys(name for _, _, name in samples))}
        labels = [(truth, sentences[name]) for _, truth, name in samples]
        return Labelled([source for source, _, _ in samples], torch.tensor(labels), [name for _, _, name in samples])

    def _samples(
        self, lines: list[tuple[str, Example]], split: str
    ) -> Iterator[tuple[ImageTextFiles, int, str] | DataError]:
        """Yield each line's source, its truth, and its sentence's name."""
        for place, example in lines:
            try:
                identifier = IDENTIFIER.fullmatch(example["identifier"])
                if identifier is None:
                    found = repr(example["identifier"])
                    raise DataError(f"{place}.identifier", found=found, expected="one like train-10171-0-0")
                if example["label"] not in self.classes:
                    raise DataError(f"{place}.label", found=repr(example["label"]), expected="'True' or 'False'")
                if split == "train" and "directory" not in example:
                    raise DataError(f"{place}.directory", found="nothing", expected="the number of a folder")
                check_text(example["sentence"], f"{place}.sentence")
            except DataError as error:
                yield error
            else:
                folder = self.root / "images" / split / str(example["directory"] if split == "train" else "")
                set_of_pairs, pair, sentence = identifier.groups()
                left, right = (folder / f"{set_of_pairs}-{pair}-img{side}.png" for side in (0, 1))
                source = ImageTextFiles((left, right), example["sentence"])
                yield source, self.classes.index(example["label"]), f"{set_of_pairs}-{sentence}"
