"""Agreement: the number of the verb that a subject with attractors needs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from random import Random

from pydantic import PositiveInt

from itnet_tasks import Classification, Sample
from itnet_text.tasks.generated.generated_task import GeneratedTask

NOUN = "NOUN"
"""Place of a noun in a sentence."""

NOUNS = (
    *(("author", "authors"), ("boat", "boats"), ("box", "boxes"), ("cabinet", "cabinets"), ("child", "children")),
    *(("city", "cities"), ("dog", "dogs"), ("door", "doors"), ("farmer", "farmers"), ("friend", "friends")),
    *(("garden", "gardens"), ("goose", "geese"), ("guard", "guards"), ("horse", "horses"), ("key", "keys")),
    *(("knife", "knives"), ("lamp", "lamps"), ("man", "men"), ("mouse", "mice"), ("painting", "paintings")),
    *(("picture", "pictures"), ("teacher", "teachers"), ("tree", "trees"), ("woman", "women")),
)
"""Singular and plural of each noun."""

ADJECTIVES = ("big", "famous", "new", "old", "quiet", "red", "small", "strange")
PREPOSITIONS = ("above", "behind", "beside", "from", "near", "with")
VERBS = ("admired", "found", "knew", "liked", "remembered", "saw")
"""Verbs of relative clauses, whose past tense has no number."""


class Agreement(GeneratedTask, Classification):
    """Subject–verb agreement: predict the number of the verb that comes next (after Linzen et al. 2016).

    The sentences are generated: "near the doors , the old key beside the cabinets that the guard saw" needs "is".
    The other nouns are attractors, and at least one of them has the number that the subject has not. Each sentence is
    followed by the one in which the subject and such a noun have changed places: the same words, with the other label.

    Example:
        >>> task = Agreement(attractors=1)
        >>> for sample in map(task.dataset("train").__getitem__, range(2)):
        ...     print(sample.inputs, "…", task.classes[sample.label])
        from the garden , the new key that the men found … singular
        from the garden , the new men that the key found … plural
    """

    class Config(GeneratedTask.Config, Classification.Config):
        attractors: PositiveInt = 3
        """Largest number of nouns that follow the subject; half of the sentences begin with one more."""

    classes = ("singular", "plural")
    vocabulary = (",", "that", "the", *chain(*NOUNS), *ADJECTIVES, *PREPOSITIONS, *VERBS)
    variants = 2

    @property
    def longest(self) -> int:
        """Largest number of words."""
        return 8 + 5 * int(self.config.attractors)

    def draw(self, random: Random) -> Sequence[Sample]:
        """Draw a sentence with a singular subject, and the same words with a plural one."""
        before = random.randrange(2)  # the number of nouns before the subject, and so the subject's place among all
        count = before + 1 + random.randint(1, self.config.attractors)
        numbers = [random.randrange(2) for _ in range(count)]
        other = random.choice([place for place in range(count) if place != before])
        numbers[before], numbers[other] = 0, 1
        nouns = [random.choice(NOUNS)[number] for number in numbers]
        words = list(chain(*(self._phrase(random, place - before) for place in range(count))))
        singular = _fill(words, nouns)
        nouns[before], nouns[other] = nouns[other], nouns[before]
        return [Sample(singular, 0), Sample(_fill(words, nouns), 1)]

    @staticmethod
    def _phrase(random: Random, place: int) -> list[str]:
        """Draw the words around a noun, by its place relative to the subject."""
        noun = ["the", *random.choices(ADJECTIVES, k=random.randrange(2)), NOUN]
        if place == 0:
            return noun
        if place > 0 and random.random() < 0.3:
            return ["that", *noun, random.choice(VERBS)]
        return [random.choice(PREPOSITIONS), *noun, *([","] if place < 0 else [])]


def _fill(words: Sequence[str], nouns: Sequence[str]) -> str:
    remaining = iter(nouns)
    return " ".join(next(remaining) if word == NOUN else word for word in words)
