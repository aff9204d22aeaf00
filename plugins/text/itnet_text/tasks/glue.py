"""The nine tasks of GLUE (Wang et al., arXiv 1804.07461), with their official metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from itnet_core import ComponentConfig, Metric
from itnet_tasks import Classification, Labelled, LabelledTask, Regression
from itnet_text.data.reading import row_of, text_loader
from itnet_text.data.rows import Row, label_rows, select_texts
from itnet_text.tasks.glue_data import HUB, Files

PAIR = {"sentence1": "sentence1", "sentence2": "sentence2"}
ENTAILMENT = ("entailment", "not_entailment")


class Glue(LabelledTask):
    """Base of GLUE's tasks.

    The labels of GLUE's test sets are not public, so the development set is the test split, as in the literature, and a
    part of the training set is the validation split.

    Attributes:
        files: location of the data.
        development: name of the development set.
    """

    class Config(ComponentConfig):
        root: str = "glue"
        """Folder of the task's data or of all tasks, as the hub's Parquet files or the original ones."""

        download: bool = False
        """Allow downloading the data from the hub if the folder is missing."""

        hub: str = HUB
        """Name of the data set on the hub, which has each task as a configuration."""

    modality = "text"
    suffixes = (".txt",)
    reads_text = True
    files: ClassVar[Files]
    development: ClassVar[str] = "validation"

    def training(self) -> Labelled:
        """Return GLUE's training set."""
        return self._split("train")

    def test(self) -> Labelled:
        """Return GLUE's development set."""
        return self._split(self.development)

    def label(self, value: Any) -> float | None:
        """Return the number of a label as the file writes it, or `None` if it is not a label."""
        raise NotImplementedError

    def loader(self, *, training: bool) -> Callable[[Row | Path], Any]:
        """Return a function that reads a row, or a user's file."""
        return text_loader(pair=len(self.files.texts) == 2)

    def source_of(self, value: Any) -> Row:
        """Return a user's text, pair of texts, or row of a table with the hub's columns.

        Raises:
            DataError: it is another value.
        """
        return row_of(value, self.files.texts)

    def collate_inputs(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the texts as a list."""
        return list(inputs)

    def _split(self, split: str) -> Labelled:
        rows, labels = [], []
        source = self.config.hub if self.config.download else None
        for place, columns in self.files.read(self.config.root, split, source=source):
            row, value = select_texts(columns, self.files.texts, place), columns.get("label")
            label = self.label(value)
            if label is None and not row.problem:
                row = row._replace(problem=f"the label {value!r}")
            rows.append(row)
            labels.append(0 if label is None else label)
        return label_rows(rows, torch.tensor(labels), f"{self.config.root}, {split}")


class GlueClassification(Glue, Classification):
    """Base of GLUE's classification tasks.

    Attributes:
        written: labels as the original files write them, in the order of the classes; numbers by default. The hub's
            files always have numbers.
    """

    class Config(Glue.Config, Classification.Config):
        """Options of `Glue` and `Classification`."""

    written: ClassVar[Sequence[str] | None] = None

    def label(self, value: Any) -> int | None:
        """Return the number of a class."""
        names = self.written or [str(number) for number in range(len(self.classes))]
        if isinstance(value, str):
            return names.index(value) if value in names else None
        return value if isinstance(value, int) and 0 <= value < len(self.classes) else None


class Paraphrases(GlueClassification):
    """Base of the tasks measured by F1 and accuracy."""

    monitor = "f1"

    def metrics(self) -> Mapping[str, Metric]:
        """Return F1 of the equivalent pairs, and accuracy."""
        from torchmetrics.classification import MulticlassAccuracy  # as in Classification.metrics

        from itnet_text.tasks.f1_score import F1

        return {"f1": F1(), "accuracy": MulticlassAccuracy(2, average="micro")}


class CoLA(GlueClassification):
    """CoLA: whether a sentence is acceptable English.

    Example:
        >>> task = CoLA(root="glue")
        >>> task.classes, list(task.metrics())
        (('unacceptable', 'acceptable'), ['matthews'])
    """

    files = Files("cola", "CoLA", {"sentence": "sentence"}, header=("source", "label", "star", "sentence"))
    classes = ("unacceptable", "acceptable")
    monitor = "matthews"

    def metrics(self) -> Mapping[str, Metric]:
        """Return Matthews' correlation coefficient."""
        from torchmetrics.classification import MulticlassMatthewsCorrCoef  # as in Classification.metrics

        return {"matthews": MulticlassMatthewsCorrCoef(2)}


class SST2(GlueClassification):
    """SST-2: whether a sentence of a film review is positive.

    Example:
        >>> _ = Path("review.txt").write_text("a fine film")
        >>> task = SST2(root="glue")
        >>> task.read(Path("review.txt")).inputs
        'a fine film'
        >>> task.describe(torch.tensor([[0.0, 3.0]]))
        [{'label': 'positive', 'probability': 0.95..., 'likeliest': {...}}]
    """

    files = Files("sst2", "SST-2", {"sentence": "sentence"})
    classes = ("negative", "positive")


class MRPC(Paraphrases):
    """MRPC: whether two sentences of news mean the same. In Microsoft's own files, the test set is the test split.

    Example:
        >>> task = MRPC(root="glue")
        >>> task.classes, list(task.metrics())
        (('not_equivalent', 'equivalent'), ['f1', 'accuracy'])
    """

    files = Files("mrpc", "MRPC", {"sentence1": "#1 String", "sentence2": "#2 String"}, label="Quality")
    classes = ("not_equivalent", "equivalent")


class QQP(Paraphrases):
    """QQP: whether two questions ask the same.

    Example:
        >>> _ = Path("questions.txt").write_text("How far is the moon?\\nWhat is the distance to the moon?")
        >>> QQP(root="glue").read(Path("questions.txt")).inputs
        ('How far is the moon?', 'What is the distance to the moon?')
    """

    files = Files("qqp", "QQP", {"question1": "question1", "question2": "question2"}, label="is_duplicate")
    classes = ("not_duplicate", "duplicate")


class MNLI(GlueClassification):
    """MNLI: whether a premise entails a hypothesis; the matched development set, of the training genres.

    Example:
        >>> task = MNLI(root="glue")
        >>> task.classes, task.head
        (('entailment', 'neutral', 'contradiction'), {'name': 'itnet-core/classify', 'classes': 3})
    """

    files = Files("mnli", "MNLI", {"premise": "sentence1", "hypothesis": "sentence2"}, label="gold_label")
    classes = ("entailment", "neutral", "contradiction")
    written = classes
    development = "validation_matched"


class MNLIMismatched(MNLI):
    """MNLI: whether a premise entails a hypothesis; the mismatched development set, of other genres.

    Example:
        >>> MNLI.development, MNLIMismatched.development
        ('validation_matched', 'validation_mismatched')
    """

    development = "validation_mismatched"


class QNLI(GlueClassification):
    """QNLI: whether a sentence contains the answer to a question.

    Example:
        >>> task = QNLI(root="glue")
        >>> task.files.texts, task.classes
        (('question', 'sentence'), ('entailment', 'not_entailment'))
    """

    files = Files("qnli", "QNLI", {"question": "question", "sentence": "sentence"})
    classes = ENTAILMENT
    written = ENTAILMENT


class RTE(GlueClassification):
    """RTE: whether a text entails a sentence.

    Example:
        >>> RTE(root="glue").describe(torch.tensor([[2.0, 0.0]]))[0]["label"]
        'entailment'
    """

    files = Files("rte", "RTE", PAIR)
    classes = ENTAILMENT
    written = ENTAILMENT


class WNLI(GlueClassification):
    """WNLI: whether a sentence with a noun in place of its pronoun follows from the original.

    Example:
        >>> WNLI(root="glue").describe(torch.tensor([[2.0, 0.0]]))[0]["label"]
        'not_entailment'
    """

    files = Files("wnli", "WNLI", PAIR)
    classes = ("not_entailment", "entailment")


class STSB(Glue, Regression):
    """STS-B: the similarity of two sentences, from 0 to 5.

    Example:
        >>> task = STSB(root="glue")
        >>> task.describe(torch.tensor([[0.0], [1.0]]))
        [{'value': 2.5}, {'value': 4.0}]
    """

    class Config(Glue.Config, Regression.Config):
        """Options of `Glue` and `Regression`."""

    files = Files("stsb", "STS-B", PAIR, label="score")
    centre, scale = 2.5, 1.5

    def label(self, value: Any) -> float | None:
        """Return a score from 0 to 5."""
        try:
            score = float(value)
        except (TypeError, ValueError):
            return None
        return score if 0 <= score <= 5 else None
