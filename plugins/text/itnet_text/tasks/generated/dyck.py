"""Dyck: the closing bracket that must come next."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from string import ascii_lowercase
from typing import Annotated, Self

from pydantic import Field as ConfigField
from pydantic import PositiveInt, model_validator

from itnet_tasks import Classification, Sample
from itnet_text.tasks.generated.generated_task import GeneratedTask


class Dyck(GeneratedTask, Classification):
    """Dyck-k: predict the kind of the innermost open bracket, which must be closed next, of k kinds.

    Each kind is open equally often, in random order, and a closed group of brackets of random kinds comes last. So
    neither the bag of words nor the last bracket says more than chance, 1/k.

    Example:
        >>> task = Dyck(kinds=2, min_length=8, max_length=8)
        >>> sample = task.dataset("train")[0]
        >>> sample.inputs, task.classes[sample.label]
        ('(b (b b) (a (b (b b) b)', 'a)')
    """

    class Config(GeneratedTask.Config, Classification.Config):
        kinds: Annotated[int, ConfigField(ge=2, le=26)] = 4
        """Number of kinds of brackets, k: `(a` and `a)`, `(b` and `b)`, …."""

        max_depth: PositiveInt = 9
        """Largest number of brackets that are open at once."""

        min_length: PositiveInt = 20
        """Smallest number of brackets."""

        max_length: PositiveInt = 100
        """Largest number of brackets."""

        @model_validator(mode="after")
        def _check_sizes(self) -> Self:
            if self.max_depth <= self.kinds:
                raise ValueError("max_depth above kinds")
            if self.max_length < self.kinds + 2:
                raise ValueError("max_length of at least kinds + 2")
            if self.min_length > self.max_length:
                raise ValueError("min_length up to max_length")
            return self

    @property
    def vocabulary(self) -> Sequence[str]:
        """Opening and closing brackets."""
        return [*(f"({kind}" for kind in self._kinds), *self.classes]

    @property
    def classes(self) -> Sequence[str]:
        """The closing brackets."""
        return [f"{kind})" for kind in self._kinds]

    @property
    def longest(self) -> int:
        """Largest number of brackets."""
        return int(self.config.max_length)

    @property
    def _kinds(self) -> str:
        return ascii_lowercase[: self.config.kinds]

    def draw(self, random: Random) -> Sequence[Sample]:
        """Draw a prefix of a well-nested sequence; reject it if no number of pairs gives an allowed length."""
        config = self.config
        most = min(config.max_depth - 1, config.max_length - 2) // config.kinds
        opened = list(self._kinds) * random.randint(1, most)
        random.shuffle(opened)
        least = max(1, (config.min_length - len(opened) + 1) // 2)
        if least > (config.max_length - len(opened)) // 2:
            return []
        # Groups of closed brackets come before, between and after those that stay open; the last is not empty.
        pairs = [0] * len(opened) + [1]
        for _ in range(random.randint(least, (config.max_length - len(opened)) // 2) - 1):
            pairs[random.randrange(len(pairs))] += 1
        words = []
        for depth, (kind, count) in enumerate(zip([*opened, ""], pairs, strict=True)):
            words += self._group(random, count, config.max_depth - depth)
            words += [f"({kind}"] if kind else []
        return [Sample(" ".join(words), self._kinds.index(opened[-1]))]

    def _group(self, random: Random, pairs: int, room: int) -> list[str]:
        """Draw a well-nested sequence of `pairs` pairs of brackets, at most `room` of them open at once."""
        words, stack = [], ""
        while pairs or stack:
            if pairs and len(stack) < room and (not stack or random.random() < 0.5):
                stack += random.choice(self._kinds)
                words.append(f"({stack[-1]}")
                pairs -= 1
            else:
                words.append(f"{stack[-1]})")
                stack = stack[:-1]
        return words
