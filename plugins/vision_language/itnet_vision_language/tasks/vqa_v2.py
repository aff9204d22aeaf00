"""VQA v2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import TypedDict

from itnet_core import DataError, Metric
from itnet_tasks import Labelled
from itnet_vision_language.data.json_files import check_text, read_json
from itnet_vision_language.metrics.vqa_accuracy import VQATargets, normalise
from itnet_vision_language.tasks.image_text_task import ImageTextFiles, ImageTextTask

ANNOTATIONS = '{"annotations": […]}, as VQA v2 is published'


class Answer(TypedDict):
    """The answer of one annotator."""

    answer: str


class Annotation(TypedDict):
    """The annotators' answers to a question."""

    question_id: int
    image_id: int
    answers: list[Answer]


class Annotations(TypedDict):
    """A file of annotations."""

    annotations: list[Annotation]


class Question(TypedDict):
    """A question about an image."""

    question_id: int
    image_id: int
    question: str


class Questions(TypedDict):
    """A file of questions."""

    questions: list[Question]


class Common(TypedDict):
    """The most common answer to a question."""

    multiple_choice_answer: str


class CommonAnswers(TypedDict):
    """A file of annotations, of which only the most common answers are read."""

    annotations: list[Common]


class VQAv2(ImageTextTask):
    """Open questions about COCO's photographs: 443,757 for training, 214,354 to test (Goyal et al., arXiv 1612.00837).

    Reads the published files in `root`: `v2_OpenEnded_mscoco_{train,val}2014_questions.json` and
    `v2_mscoco_{train,val}2014_annotations.json`, with the images `train2014/COCO_train2014_000000000009.jpg` and so on.
    Answers to the published test questions are not public, so the published `val` is the test split, and validation is
    held out of `train` by image.

    Example:
        >>> task = VQAv2(root="vqa", vocabulary=("yes", "no"))
        >>> task.collate_targets([["yes"] * 8 + ["no"] * 2]).scores
        tensor([[1.0000, 0.6667]])
    """

    class Config(ImageTextTask.Config):
        images: str | None = None
        """Folder that contains `train2014` and `val2014`; by default `root`."""

        answers: PositiveInt = 3129
        """Size of the vocabulary."""

        vocabulary: tuple[str, ...] | None = None
        """Answers in the order of their numbers; by default the most frequent of the most common answers to the
        training questions, normalised. A checkpoint stores them, so that it predicts without the data."""

        def completed(self) -> Self:
            """Fill in `vocabulary` from the training annotations, if they exist already."""
            if self.vocabulary is not None:
                return self
            try:
                vocabulary = _vocabulary(Path(self.root).expanduser(), self.answers)
            except DataError:  # a configuration may be written before the data exist
                return self
            return self.model_copy(update={"vocabulary": vocabulary})

    monitor = "accuracy"

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Answers to choose from.

        Raises:
            DataError: the configuration does not list them, and the training annotations are missing.
        """
        return self.config.vocabulary or _vocabulary(self.root, self.config.answers)

    @property
    def head(self) -> Mapping[str, Any]:
        """A classification head with one logit per answer."""
        return {"name": "itnet-core/classify", "classes": len(self.vocabulary)}

    def training(self) -> Labelled:
        """Return the published training questions."""
        return self._split("train")

    def test(self) -> Labelled:
        """Return the published validation questions."""
        return self._split("val")

    def collate_targets(self, labels: Sequence[Sequence[str]]) -> VQATargets:
        """Return the answers' scores, and the annotators' answers."""
        numbers = {answer: number for number, answer in enumerate(self.vocabulary)}
        scores = torch.zeros(len(labels), len(numbers))
        for row, answers in enumerate(labels):
            for answer, count in Counter(map(normalise, answers)).items():
                if answer in numbers:
                    scores[row, numbers[answer]] = min(1.0, count / 3)
        return VQATargets(scores, labels)

    def loss(self, prediction: Tensor, targets: VQATargets) -> Tensor:
        """Compute the binary cross entropy of logits (B, answers) and the answers' scores, summed over answers."""
        scores = targets.scores.to(prediction.dtype)
        return F.binary_cross_entropy_with_logits(prediction, scores, reduction="sum") / len(prediction)

    def metrics(self) -> Mapping[str, Metric]:
        """Return the official accuracy."""
        from itnet_vision_language.metrics.vqa_metric import VQAAccuracy  # seconds of imports

        return {"accuracy": VQAAccuracy(self.vocabulary)}

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        """Describe each question by its answer, the answer's score, and the `top_k` likeliest answers."""
        vocabulary = self.vocabulary
        top = prediction.sigmoid().topk(min(self.top_k, len(vocabulary)))
        records = []
        for scores, indices in zip(top.values.tolist(), top.indices.tolist(), strict=True):
            likeliest = {vocabulary[i]: score for i, score in zip(indices, scores, strict=True)}
            records.append({"answer": vocabulary[indices[0]], "score": scores[0], "likeliest": likeliest})
        return records

    def _split(self, part: str) -> Labelled:
        path = self.root / f"v2_mscoco_{part}2014_annotations.json"
        annotations = read_json(path, Annotations, ANNOTATIONS)["annotations"]
        samples = self.drop_errors(self._samples(annotations, part, path), path)
        sources, answers, images = zip(*samples, strict=True)
        return Labelled(sources, answers, images)

    def _samples(
        self, annotations: list[Annotation], part: str, path: Path
    ) -> Iterator[tuple[ImageTextFiles, tuple[str, ...], str] | DataError]:
        """Yield each annotated question's source, the annotators' answers, and its image as the group."""
        file = self.root / f"v2_OpenEnded_mscoco_{part}2014_questions.json"
        published = read_json(file, Questions, '{"questions": […]}')["questions"]
        questions = {question["question_id"]: question for question in published}
        folder = Path(self.config.images or self.config.root).expanduser() / f"{part}2014"
        for index, annotation in enumerate(annotations):
            place = f"{path}.annotations.{index}"
            try:
                question = questions.pop(annotation["question_id"], None)
                text = _checked(question, annotation, file, place)
            except DataError as error:
                yield error
            else:
                image = folder / f"COCO_{part}2014_{annotation['image_id']:012}.jpg"
                answers = tuple(answer["answer"] for answer in annotation["answers"])
                yield ImageTextFiles((image,), text), answers, str(annotation["image_id"])
        for number in questions:
            found = f"question {number}, which no annotation answers"
            yield DataError(str(file), found=found, expected=f"one in {path.name} for each question")


def _checked(question: Question | None, annotation: Annotation, file: Path, place: str) -> str:
    """Return the text of an annotation's question."""
    number = annotation["question_id"]
    if question is None:
        raise DataError(
            f"{place}.question_id",
            found=f"{number}, which is unknown or repeated",
            expected=f"one question in {file.name}",
        )
    if question["image_id"] != annotation["image_id"]:
        raise DataError(
            f"{place}.image_id",
            found=f"image {annotation['image_id']}",
            expected=f"{question['image_id']}, as question {number} has in {file.name}",
        )
    if not annotation["answers"]:
        raise DataError(f"{place}.answers", found="no answer", expected="ten, one per annotator")
    return check_text(question["question"], f"{file}: question {number}")


def _vocabulary(root: Path, size: int) -> tuple[str, ...]:
    """Return the answers that are most often the most common one; equally frequent ones in alphabetical order."""
    path = root / "v2_mscoco_train2014_annotations.json"
    annotations = read_json(path, CommonAnswers, ANNOTATIONS)["annotations"]
    counts = Counter(normalise(annotation["multiple_choice_answer"]) for annotation in annotations)
    del counts[""]
    if not counts:
        raise DataError(str(path), found="no answer", expected=ANNOTATIONS)
    return tuple(sorted(counts, key=lambda answer: (-counts[answer], answer))[:size])
