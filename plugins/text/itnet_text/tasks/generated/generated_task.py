"""Base of tasks whose samples are generated."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal
from zlib import crc32

from pydantic import NonNegativeInt, PositiveInt

from itnet_core import ConfigError, DataError, Split
from itnet_tasks import Labelled, LabelledTask, OnBadSample, Sample, Share
from itnet_text.data.reading import row_of, text_loader
from itnet_text.data.rows import Row
from itnet_text.tokenizer import word_tokenizer

ATTEMPTS = 20_000
"""Draws after which no sample of a split is expected any more."""


class GeneratedTask(LabelledTask):
    """Base of tasks on generated sequences of words from a fixed vocabulary.

    A sample depends on the seed, the split and its index alone. A hash of its bag of words decides which split it
    belongs to, whatever the seed: an eighth of all bags is for test, an eighth for validation, the rest for training.
    So no sequence of the test split occurs in training, nor any other order of its words. Samples are kept in memory
    once they are generated.

    Example:
        >>> from itnet_tasks import Classification
        >>> class First(GeneratedTask, Classification):
        ...     classes = vocabulary = ("a", "b", "c")
        ...     longest = 9
        ...     def draw(self, random):
        ...         words = random.choices(self.vocabulary, k=self.longest)
        ...         return [Sample(" ".join(words), self.vocabulary.index(words[0]))]
        >>> First().dataset("train")[0]
        Sample(inputs='a a a c c b c c b', label=0)

    Attributes:
        variants: number of samples of one draw: the same words in other orders, with other labels.
    """

    class Config(LabelledTask.Config):
        validation: Share = 0.1
        """Has no effect: the validation split is generated."""

        on_bad_sample: OnBadSample = "refuse"
        """Has no effect: all samples are sound."""

        training_samples: PositiveInt = 20_000
        """Number of training samples."""

        validation_samples: PositiveInt = 2_000
        """Number of validation samples."""

        test_samples: PositiveInt = 2_000
        """Number of test samples."""

        seed: NonNegativeInt = 0
        """Seed of the samples."""

    modality = "text"
    suffixes = (".txt",)
    reads_text = True
    variants: ClassVar[int] = 1

    @property
    @abstractmethod
    def vocabulary(self) -> Sequence[str]:
        """All words, without spaces."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """Largest number of words of a sample."""

    @abstractmethod
    def draw(self, random: Random) -> Sequence[Sample]:
        """Draw `variants` samples, each a text and its label; none to reject the draw."""

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        """A tokenizer with one token per word, and the largest number of tokens."""
        return {"tokenizer": word_tokenizer(self.vocabulary), "max_length": self.longest}

    def training(self) -> Labelled:
        """Return the training samples."""
        return self._labelled("train", self.config.training_samples)

    def validation(self) -> Labelled:
        """Return the validation samples."""
        return self._labelled("validation", self.config.validation_samples)

    def test(self) -> Labelled:
        """Return the test samples."""
        return self._labelled("test", self.config.test_samples)

    def loader(self, *, training: bool) -> Callable[[str | Path | Row], str]:
        """Return a function that returns a generated text, or reads a user's file of words of the vocabulary."""
        return partial(_load, vocabulary=frozenset(self.vocabulary))

    def source_of(self, value: Any) -> Row:
        """Return a user's text, or row of a table.

        Raises:
            DataError: it is another value.
        """
        return row_of(value, ["text"])

    def collate_inputs(self, inputs: Sequence[str]) -> list[str]:
        """Return the texts as a list."""
        return list(inputs)

    def generate(self, split: Split, number: int) -> Sequence[Sample]:
        """Generate the samples of one draw of a split, by the number of the draw.

        Raises:
            ConfigError: the options allow too few different samples, or none.
        """
        random = Random(f"{self.config.seed} {split} {number}")
        for _ in range(ATTEMPTS):
            samples = self.draw(random)
            if samples and _split_of(samples[0].inputs) == split:
                return samples
        raise ConfigError(
            type(self).__name__,
            found=f"no sample for the {split} split in {ATTEMPTS} draws",
            expected="options that allow many different samples",
            hint="Allow longer samples, or more kinds of words.",
        )

    def _labelled(self, split: Split, length: int) -> Labelled:
        samples = _Samples(self, split)
        return Labelled(_Column(samples, "inputs", length), _Column(samples, "label", length))


class _Samples:
    """The samples of a split by index, kept once they are generated."""

    def __init__(self, task: GeneratedTask, split: Split) -> None:
        self.task, self.split = task, split
        self._draws: dict[int, Sequence[Sample]] = {}

    def __getitem__(self, index: int) -> Sample:
        number, variant = divmod(index, self.task.variants)
        if number not in self._draws:
            self._draws[number] = self.task.generate(self.split, number)
        return self._draws[number][variant]


class _Column(Sequence[Any]):
    """One field of all samples."""

    def __init__(self, samples: _Samples, field: Literal["inputs", "label"], length: int) -> None:
        self.samples, self.field, self.length = samples, field, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self.length:
            raise IndexError(index)
        return getattr(self.samples[index], self.field)


def _split_of(text: str) -> Split:
    """Return the split of all texts with the same bag of words."""
    part = crc32(" ".join(sorted(text.split())).encode()) % 8
    return "test" if part == 0 else "validation" if part == 1 else "train"


def _load(source: str | Path | Row, vocabulary: frozenset[str]) -> str:
    if isinstance(source, str):
        return source
    words = str(text_loader(pair=False)(source)).split()
    unknown = next((word for word in words if word not in vocabulary), None)
    if unknown is not None:
        expected = f"words of the task, separated by spaces: {' '.join(sorted(vocabulary)):.200}"
        place = source.place if isinstance(source, Row) else str(source)
        raise DataError(place, found=f"the word {unknown!r:.60}", expected=expected)
    return " ".join(words)
