"""The nine tasks of GLUE (Wang et al., arXiv 1804.07461), with their official metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics.classification import BinaryF1Score, MulticlassAccuracy, MulticlassMatthewsCorrCoef

from itnet_core import ComponentConfig, Metric
from itnet_tasks import Classification, Labelled, LabelledTask, Regression
from itnet_text.data.reading import text_loader
from itnet_text.data.rows import Row, labelled, texts_of
from itnet_text.tasks.glue_data import HUB, Files

PAIR = {"sentence1": "sentence1", "sentence2": "sentence2"}
ENTAILMENT = ("entailment", "not_entailment")


class Glue(LabelledTask):
    """Base of the tasks. The labels of GLUE's test sets are not public, so its development set is the test split here,
    as the literature reports it, and a part of the training set is for validation.

    Attributes:
        files: where the data are.
    """

    class Config(ComponentConfig):
        root: str = "glue"
        """The folder of the task's data, or the one that holds it: the hub's Parquet files or the original ones."""

        download: bool = False
        """Whether the data may come from the hub where the folder is not there."""

        hub: str = HUB
        """The data set's name there; the task is one of its configurations."""

    modality = "text"
    files: ClassVar[Files]
    development: ClassVar[str] = "validation"

    def training(self) -> Labelled:
        """Return GLUE's training set."""
        return self._split("train")

    def test(self) -> Labelled:
        """Return GLUE's development set."""
        return self._split(self.development)

    def label(self, value: Any) -> float | None:
        """Return the number of a label as a file has it; `None` if it is none."""
        raise NotImplementedError

    def loader(self, *, training: bool) -> Callable[[Row | Path], Any]:
        """Return what reads a row, or a user's file."""
        return text_loader(pair=len(self.files.texts) == 2)

    def collate_inputs(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the texts as a list."""
        return list(inputs)

    def _split(self, split: str) -> Labelled:
        rows, labels = [], []
        source = self.config.hub if self.config.download else None
        for place, columns in self.files.read(self.config.root, split, source=source):
            row, value = texts_of(columns, self.files.texts, place), columns.get("label")
            label = self.label(value)
            if label is None and not row.problem:
                row = row._replace(problem=f"the label {value!r}")
            rows.append(row)
            labels.append(0 if label is None else label)
        return labelled(rows, torch.tensor(labels), f"{self.config.root}, {split}")


class GlueClassification(Glue, Classification):
    """Base of the tasks with classes.

    Attributes:
        written: the labels as the original files have them, in the order of the classes; numbers by default. The hub's
            files have numbers always.
    """

    class Config(Glue.Config, Classification.Config):
        """As `Glue.Config` and `Classification.Config`."""

    written: ClassVar[Sequence[str] | None] = None

    def label(self, value: Any) -> int | None:
        """Return the number of a class."""
        names = self.written or [str(number) for number in range(len(self.classes))]
        if isinstance(value, str):
            return names.index(value) if value in names else None
        return value if isinstance(value, int) and 0 <= value < len(self.classes) else None


class F1(BinaryF1Score):
    """F1 of the second of two classes, from logits (B, 2)."""

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in a batch."""
        super().update(prediction.argmax(-1), target)


class Paraphrases(GlueClassification):
    """Base of the tasks that are measured by F1 and accuracy."""

    monitor = "f1"

    def metrics(self) -> Mapping[str, Metric]:
        """Return F1 of the equivalent pairs, and accuracy."""
        return {"f1": F1(), "accuracy": MulticlassAccuracy(2, average="micro")}


class CoLA(GlueClassification):
    """Whether a sentence is acceptable English."""

    files = Files("cola", "CoLA", {"sentence": "sentence"}, header=("source", "label", "star", "sentence"))
    classes = ("unacceptable", "acceptable")
    monitor = "matthews"

    def metrics(self) -> Mapping[str, Metric]:
        """Return Matthews' correlation."""
        return {"matthews": MulticlassMatthewsCorrCoef(2)}


class SST2(GlueClassification):
    """Whether a film review's sentence is positive."""

    files = Files("sst2", "SST-2", {"sentence": "sentence"})
    classes = ("negative", "positive")


class MRPC(Paraphrases):
    """Whether two sentences of news say the same. With Microsoft's own files their test set is the test split."""

    files = Files("mrpc", "MRPC", {"sentence1": "#1 String", "sentence2": "#2 String"}, label="Quality")
    classes = ("not_equivalent", "equivalent")


class QQP(Paraphrases):
    """Whether two questions ask the same."""

    files = Files("qqp", "QQP", {"question1": "question1", "question2": "question2"}, label="is_duplicate")
    classes = ("not_duplicate", "duplicate")


class MNLI(GlueClassification):
    """What follows from a premise, on the matched development set: the genres of training."""

    files = Files("mnli", "MNLI", {"premise": "sentence1", "hypothesis": "sentence2"}, label="gold_label")
    classes = ("entailment", "neutral", "contradiction")
    written = classes
    development = "validation_matched"


class MNLIMismatched(MNLI):
    """What follows from a premise, on the mismatched development set: genres that training does not have."""

    development = "validation_mismatched"


class QNLI(GlueClassification):
    """Whether a sentence holds the answer to a question."""

    files = Files("qnli", "QNLI", {"question": "question", "sentence": "sentence"})
    classes = ENTAILMENT
    written = ENTAILMENT


class RTE(GlueClassification):
    """Whether a sentence follows from a text."""

    files = Files("rte", "RTE", PAIR)
    classes = ENTAILMENT
    written = ENTAILMENT


class WNLI(GlueClassification):
    """Whether a sentence with a pronoun's meaning filled in follows from the one with the pronoun."""

    files = Files("wnli", "WNLI", PAIR)
    classes = ("not_entailment", "entailment")


class STSB(Glue, Regression):
    """How alike two sentences are, from 0 to 5."""

    class Config(Glue.Config, Regression.Config):
        """As `Glue.Config` and `Regression.Config`."""

    files = Files("stsb", "STS-B", PAIR, label="score")
    centre, scale = 2.5, 1.5

    def label(self, value: Any) -> float | None:
        """Return a score from 0 to 5."""
        try:
            score = float(value)
        except (TypeError, ValueError):
            return None
        return score if 0 <= score <= 5 else None
