"""easy-VQA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import torch
from pydantic import PositiveInt

from itnet_core import DataError
from itnet_tasks import Classification, Labelled
from itnet_vision_language.data.json_files import check_text, read_json, read_text
from itnet_vision_language.tasks.image_text_task import ImageTextFiles, ImageTextTask

QUESTIONS = '[["what color is the shape?", "blue", 0], …]: question, answer, number of the image'
ANSWERS = "an answer a line, as the package easy-vqa stores it next to train and test"


class EasyVQA(ImageTextTask, Classification):
    """48,248 simple questions about 5,000 images of one coloured shape of 64 × 64 pixels; 13 answers (V. Zhou).

    Reads the folder `easy_vqa/data` of the package easy-vqa: `answers.txt`, and in `train` and `test` `questions.json`
    and `images/<number>.png`. Validation is held out of `train` by image, so that its images are new as well.

    Example:
        >>> task = EasyVQA(root="easy_vqa/data", answers=("blue", "circle", "red"))
        >>> task.describe(torch.tensor([[0.0, 1.0, 4.0]]))[0]["label"]
        'red'
    """

    class Config(ImageTextTask.Config, Classification.Config):
        image_size: PositiveInt = 64
        """Side of the square images that encoders get, in pixels; 64 is the data's own size."""

        answers: tuple[str, ...] | None = None
        """Answers in the order of their numbers; by default those of `answers.txt`, sorted. A checkpoint stores them,
        so that it predicts without the data."""

        def completed(self) -> Self:
            """Fill in `answers` from `answers.txt`, if it exists already."""
            if self.answers is not None:
                return self
            try:
                return self.model_copy(update={"answers": _answers(Path(self.root).expanduser())})
            except DataError:  # a configuration may be written before the data exist
                return self

    normalization = ([0.904, 0.905, 0.896], [0.194, 0.187, 0.206])

    @property
    def classes(self) -> tuple[str, ...]:
        """The answers.

        Raises:
            DataError: the configuration does not list them, and `answers.txt` is missing.
        """
        return self.config.answers or _answers(self.root)

    def training(self) -> Labelled:
        """Return the 38,575 training questions."""
        return self._split("train")

    def test(self) -> Labelled:
        """Return the 9,673 test questions."""
        return self._split("test")

    def _split(self, split: str) -> Labelled:
        path = self.root / split / "questions.json"
        records = read_json(path, list[tuple[str, str, int]], QUESTIONS)
        samples = self.drop_errors(self._samples(records, path), path)
        sources, answers, images = zip(*samples, strict=True)
        return Labelled(sources, torch.tensor(answers, dtype=torch.int64), images)

    def _samples(
        self, records: list[tuple[str, str, int]], path: Path
    ) -> Iterator[tuple[ImageTextFiles, int, str] | DataError]:
        """Yield each record's source, the number of its answer, and its image's name as the group."""
        numbers = {answer: number for number, answer in enumerate(self.classes)}
        for index, (question, answer, image) in enumerate(records):
            try:
                check_text(question, f"{path}.{index}.0")
                if answer not in numbers:
                    raise DataError(f"{path}.{index}.1", found=repr(answer), expected=f"one of {', '.join(numbers)}")
            except DataError as error:
                yield error
            else:
                yield ImageTextFiles((path.parent / "images" / f"{image}.png",), question), numbers[answer], str(image)


def _answers(root: Path) -> tuple[str, ...]:
    lines = read_text(root / "answers.txt", ANSWERS).split("\n")
    answers = sorted({line.strip() for line in lines} - {""})
    if not answers:
        raise DataError(str(root / "answers.txt"), found="no answer", expected=ANSWERS)
    return tuple(answers)
