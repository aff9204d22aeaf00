"""ListOps: the value of a nested expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from statistics import median
from typing import Annotated, Self

from pydantic import Field as ConfigField
from pydantic import PositiveInt, model_validator

from itnet_tasks import Classification, Sample
from itnet_text.tasks.generated.generated_task import GeneratedTask

DIGITS = tuple("0123456789")
OPERATORS: tuple[tuple[str, Callable[[list[int]], int]], ...] = (
    ("[MAX", max),
    ("[MIN", min),
    ("[MED", lambda values: int(median(values))),
    ("[SM", lambda values: sum(values) % 10),
)
"""Words and functions of the operators; the median is rounded down."""

OPERATOR_SHARE = 0.25
"""Probability that an argument is an expression."""


class ListOps(GeneratedTask, Classification):
    """ListOps: compute a nested expression of MAX, MIN, MED and SM (sum modulo 10) over digits (Nangia & Bowman 2018).

    The expressions and the default options are those of the Long Range Arena (Tay et al. 2020, arXiv 2011.04006).
    Every bracket is a token: a closing bracket is a word, and an operator contains its opening one. Without closing
    brackets, as in some tokenized copies of that benchmark, the value is ambiguous.

    Example:
        >>> task = ListOps(min_length=5, max_length=15)
        >>> task.dataset("train")[9]
        Sample(inputs='[SM [MAX 6 7 1 9 8 1 ] 5 ]', label=4)
    """

    class Config(GeneratedTask.Config, Classification.Config):
        max_depth: Annotated[int, ConfigField(ge=2, le=100)] = 10
        """Largest depth of an expression as a tree; digits are at most this deep, operators are above."""

        max_args: Annotated[int, ConfigField(ge=2)] = 10
        """Largest number of arguments of an operator; the smallest is 2."""

        min_length: PositiveInt = 500
        """Smallest number of tokens."""

        max_length: Annotated[int, ConfigField(ge=4)] = 2000
        """Largest number of tokens."""

        training_samples: PositiveInt = 96_000
        """Number of training samples."""

        @model_validator(mode="after")
        def _check_lengths(self) -> Self:
            if self.min_length > self.max_length:
                raise ValueError("min_length up to max_length")
            return self

    classes = DIGITS
    vocabulary = (*DIGITS, *(word for word, _ in OPERATORS), "]")

    @property
    def longest(self) -> int:
        """Largest number of tokens."""
        return int(self.config.max_length)

    def draw(self, random: Random) -> Sequence[Sample]:
        """Draw an expression; reject it if its length is out of bounds."""
        max_depth, max_args, max_length = self.config.max_depth, self.config.max_args, self.config.max_length
        uniform = random.random  # much faster than `randrange`
        words: list[str] = []

        def append(depth: int) -> int:
            """Append a random expression to the words, and return its value."""
            # The outermost is always an operator: the Long Range Arena draws single digits too, and rejects them.
            if depth == max_depth or (depth > 1 and uniform() > OPERATOR_SHARE):
                digit = int(10 * uniform())
                words.append(DIGITS[digit])
                return digit
            if len(words) > max_length:  # rejected in any case
                return 0
            operator, function = OPERATORS[int(len(OPERATORS) * uniform())]
            words.append(operator)
            count = 2 + int((max_args - 1) * uniform())
            value = function([append(depth + 1) for _ in range(count)])
            words.append("]")
            return value

        value = append(1)
        return [Sample(" ".join(words), value)] if self.config.min_length <= len(words) <= max_length else []
