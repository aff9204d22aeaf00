"""Statements about two images of easy-VQA."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from random import Random

import torch
from pydantic import NonNegativeInt, PositiveInt

from itnet_core import Split
from itnet_tasks import Classification, Labelled, Share, split
from itnet_vision_language.data.json_files import read_json
from itnet_vision_language.data.shapes import Shape, known_shapes
from itnet_vision_language.data.statements import Statements
from itnet_vision_language.tasks.easy_vqa import QUESTIONS, EasyVQA
from itnet_vision_language.tasks.image_text_task import ImageTextFiles, ImageTextTask


class EasyVQAPairs(ImageTextTask, Classification):
    """Is a statement true of two images of easy-VQA? Generated in the manner of NLVR2: "both images show a circle".

    Reads the folder that the task `easy-vqa` reads, without `answers.txt`. The color and the shape of an image follow
    from the questions about it; images that are asked too little about are left out (3,576 of 4,000 are used for
    training, 886 of 1,000 for the test). Training, validation and test have images of their own.

    Each statement comes with two pairs of which it is true, and two of which it is false, so that it does not decide
    alone. For "the shapes have the same color" or "different colors", "the images show the same shape" or "different
    shapes" and "only one image shows a circle", nor do the statement and one image. For the other forms ("both images
    show …", "no image shows …", "at least one image shows …", "the left image shows … and the right image …"), the best
    guess from the statement and one image is right in 3/4 of the pairs, the least that is possible.

    Example:
        >>> EasyVQAPairs(root="easy_vqa/data").describe(torch.tensor([[0.0, 3.0]]))[0]["label"]
        'True'
    """

    class Config(ImageTextTask.Config, Classification.Config):
        image_size: PositiveInt = 64
        """Side of the square images that encoders get, in pixels; 64 is the data's own size."""

        validation: Share = 0.1
        """Share of the training images that the validation pairs are made of, and not the training pairs."""

        training_samples: PositiveInt = 20_000
        """Number of training pairs."""

        validation_samples: PositiveInt = 2_000
        """Number of validation pairs."""

        test_samples: PositiveInt = 2_000
        """Number of test pairs."""

        seed: NonNegativeInt = 0
        """Seed of the pairs and statements, and of the choice of the validation images."""

    modality = "image-pair-text"
    images = 2
    classes = ("False", "True")
    normalization = EasyVQA.normalization

    def training(self) -> Labelled:
        """Return the training pairs."""
        return self._pairs("train", self._training_shapes[0], self.config.training_samples)

    def validation(self) -> Labelled:
        """Return the validation pairs."""
        return self._pairs("validation", self._training_shapes[1], self.config.validation_samples)

    def test(self) -> Labelled:
        """Return the test pairs."""
        return self._pairs("test", self._shapes("test"), self.config.test_samples)

    @cached_property
    def _training_shapes(self) -> tuple[Sequence[Shape], Sequence[Shape]]:
        """The shapes of the images for training, and for validation."""
        shapes = self._shapes("train")
        parts = split(Labelled(shapes, shapes), self.config.validation, self.config.seed)
        return parts[0].labels, parts[1].labels  # type: ignore[return-value]

    def _shapes(self, part: str) -> list[Shape]:
        path = self._file(part)
        return self.drop_errors(known_shapes(read_json(path, list[tuple[str, str, int]], QUESTIONS), path), path)

    def _pairs(self, part: Split, shapes: Sequence[Shape], count: int) -> Labelled:
        path = self._file("test" if part == "test" else "train")
        statements, random = Statements(shapes, str(path)), Random(f"{self.config.seed} {part}")
        pairs = list(chain.from_iterable(statements.draw(random) for _ in range(0, count, 4)))[:count]
        images = path.parent / "images"
        sources = [
            ImageTextFiles((images / f"{left.image}.png", images / f"{right.image}.png"), statement)
            for left, right, statement, _ in pairs
        ]
        return Labelled(sources, torch.tensor([int(pair.truth) for pair in pairs]))

    def _file(self, part: str) -> Path:
        return self.root / part / "questions.json"
