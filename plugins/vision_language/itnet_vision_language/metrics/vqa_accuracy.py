"""The official accuracy of VQA, with its normalisation of answers (Antol et al., arXiv 1505.00468; visualqa.org)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric as TorchMetric

from itnet_vision_language.metrics.vqa_contractions import CONTRACTIONS

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
COMMA_BETWEEN_DIGITS = re.compile(r"\d,\d")
PERIOD = re.compile(r"\.(?!\d)")
MOST_PERIODS = 32
"""The official code gives re.UNICODE, which is 32, in the place of the count of replacements."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {"none": "0", **{word: str(number) for number, word in enumerate(DIGITS)}}
ARTICLES = frozenset({"a", "an", "the"})


@lru_cache(maxsize=1 << 16)
def normalise(answer: str) -> str:
    """Return an answer in the form in which answers are compared: lower case, no punctuation, no articles, digits.

    A punctuation mark is removed where the answer has it before or after a space anywhere, or has a comma between
    digits anywhere (1,000), and becomes a space otherwise. A period is removed unless a digit follows. Apostrophes,
    colons and the other signs stay.
    """
    words = _without_punctuation(" ".join(answer.split())).lower().split()
    words = [NUMBERS.get(word, word) for word in words]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _without_punctuation(text: str) -> str:
    comma_between_digits = COMMA_BETWEEN_DIGITS.search(text) is not None
    left = text
    for sign in PUNCTUATION:
        beside_space = f"{sign} " in text or f" {sign}" in text
        left = left.replace(sign, "" if beside_space or comma_between_digits else " ")
    return PERIOD.sub("", left, count=MOST_PERIODS)


def accuracy(answer: str, given: Sequence[str]) -> float:
    """Return the official accuracy of an answer.

    It is right to the degree min(1, m/3), m of the other annotators having given it, on average over leaving out each
    annotator in turn. Answers are normalised where the annotators differ, and compared as they stand where all agree.

    Args:
        answer: the predicted one.
        given: those of the annotators, ten as a rule.
    """
    answer, given = answer.strip(), [each.strip() for each in given]
    if len(set(given)) > 1:
        answer, given = normalise(answer), [normalise(each) for each in given]
    matches, count = given.count(answer), len(given)
    others = matches * min(1.0, (matches - 1) / 3) + (count - matches) * min(1.0, matches / 3)
    return others / count


class VQATargets(NamedTuple):
    """What a batch of predictions is compared with.

    Attributes:
        scores: of each answer of the vocabulary, min(1, n/3) where n annotators gave it; shape (B, answers).
        given: the annotators' answers to each question.
    """

    scores: Tensor
    given: Sequence[Sequence[str]]


class VQAAccuracy(TorchMetric):
    """The mean official accuracy of the answers with the largest logits."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: VQATargets) -> None:
        """Take in a batch."""
        for index, given in zip(prediction.argmax(-1).tolist(), target.given, strict=True):
            self.total += accuracy(self.vocabulary[index], given)
        self.count += len(prediction)

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.count
