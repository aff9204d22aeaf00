from __future__ import annotations

import pytest

from itnet_core import ConfigError
from itnet_text.tasks.generated.agreement import NOUNS, Agreement

NUMBERS = {noun: number for forms in NOUNS for number, noun in enumerate(forms)}


def subject(words: list[str]) -> int:
    """Return the number of the first noun that no comma follows."""
    nouns = [place for place, word in enumerate(words) if word in NUMBERS]
    return NUMBERS[words[nouns["," in words]]]


@pytest.mark.parametrize("attractors", [1, 3])
def test_the_label_is_the_number_of_the_subject(attractors: int) -> None:
    dataset = Agreement(attractors=attractors).dataset("train")
    counts = set()
    for index in range(400):
        sample = dataset[index]
        assert sample is not None
        words = sample.inputs.split()
        assert subject(words) == sample.label
        numbers = [NUMBERS[word] for word in words if word in NUMBERS]
        assert set(numbers) == {0, 1}
        counts.add(len(numbers) - 1 - ("," in words))
    assert counts == set(range(1, attractors + 1))


def test_the_same_words_have_either_label() -> None:
    """So every classifier of bags of words is right in exactly half of the cases."""
    dataset = Agreement().dataset("test")
    for index in range(0, 200, 2):
        first, second = dataset[index], dataset[index + 1]
        assert first is not None
        assert second is not None
        assert sorted(first.inputs.split()) == sorted(second.inputs.split())
        assert {first.label, second.label} == {0, 1}


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="Agreement.attractors"):
        Agreement(attractors=0)
