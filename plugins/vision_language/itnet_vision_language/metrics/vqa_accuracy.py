"""VQA's official accuracy, with its normalisation of answers (Antol et al., arXiv 1505.00468; visualqa.org)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from torch import Tensor

from itnet_vision_language.metrics.vqa_contractions import CONTRACTIONS

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
COMMA_BETWEEN_DIGITS = re.compile(r"\d,\d")
PERIOD = re.compile(r"\.(?!\d)")
MOST_PERIODS = 32
"""The official code passes re.UNICODE, which is 32, as the number of replacements."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {"none": "0", **{word: str(number) for number, word in enumerate(DIGITS)}}
ARTICLES = frozenset({"a", "an", "the"})


@lru_cache(maxsize=1 << 16)
def normalise(answer: str) -> str:
    """Normalise an answer for comparison: lower case, no punctuation, no articles, digits for numbers.

    A punctuation mark is removed if the answer has it before or after a space anywhere, or has a comma between digits
    anywhere (1,000); otherwise it becomes a space. A period is removed unless a digit follows. Apostrophes, colons and
    other signs stay.

    Example:
        >>> normalise("The two dogs!")
        '2 dogs'
    """
    words = _without_punctuation(" ".join(answer.split())).lower().split()
    words = [NUMBERS.get(word, word) for word in words]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _without_punctuation(text: str) -> str:
    comma_between_digits = COMMA_BETWEEN_DIGITS.search(text) is not None
    left = text
    for sign in PUNCTUATION:
        next_to_space = f"{sign} " in text or f" {sign}" in text
        left = left.replace(sign, "" if next_to_space or comma_between_digits else " ")
    return PERIOD.sub("", left, count=MOST_PERIODS)


def accuracy(answer: str, human_answers: Sequence[str]) -> float:
    """Compute the official accuracy of an answer.

    It is min(1, m/3), where m of the other annotators gave the answer, averaged over leaving out each annotator in
    turn. Answers are normalised where the annotators differ, and compared unchanged where all agree.

    Example:
        >>> accuracy("red", ["red"] * 3 + ["blue"] * 7)
        0.9

    Args:
        answer: the predicted answer.
        human_answers: the annotators' answers, usually ten.
    """
    answer, human_answers = answer.strip(), [text.strip() for text in human_answers]
    if len(set(human_answers)) > 1:
        answer, human_answers = normalise(answer), [normalise(text) for text in human_answers]
    matches, count = human_answers.count(answer), len(human_answers)
    others = matches * min(1.0, (matches - 1) / 3) + (count - matches) * min(1.0, matches / 3)
    return others / count


class VQATargets(NamedTuple):
    """Targets of a batch of questions.

    Attributes:
        scores: min(1, n/3) for each answer of the vocabulary, where n annotators gave it; shape (B, answers).
        human_answers: the annotators' answers to each question.
    """

    scores: Tensor
    human_answers: Sequence[Sequence[str]]
