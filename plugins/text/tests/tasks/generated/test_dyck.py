from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from itnet_core import ConfigError
from itnet_tasks import Sample
from itnet_text.tasks.generated.dyck import Dyck


def open_brackets(words: list[str], most: int) -> str:
    """Return the kinds of the open brackets, innermost last; fail if the sequence is not well nested."""
    stack = ""
    for word in words:
        if word.startswith("("):
            stack += word[1]
            assert len(stack) <= most
        else:
            assert stack.endswith(word[0])
            stack = stack[:-1]
    return stack


def draws(task: Dyck, count: int) -> list[Sample]:
    return [task.generate("train", index)[0] for index in range(count)]


@pytest.mark.parametrize("kinds", [2, 3, 4])
def test_the_label_is_the_innermost_open_bracket(kinds: int) -> None:
    task = Dyck(kinds=kinds, max_depth=7, min_length=11, max_length=24)
    for text, label in draws(task, 200):
        words = text.split()
        assert 11 <= len(words) <= 24
        assert f"{open_brackets(words, 7)[-1]})" == task.classes[label]


@pytest.mark.parametrize("kinds", [2, 4])
def test_the_bag_and_the_last_bracket_are_at_chance(kinds: int) -> None:
    task = Dyck(kinds=kinds)
    bag = last = 0
    for text, label in draws(task, 2000):
        words = text.split()
        counts = Counter({kind: words.count(f"({kind}") - words.count(f"{kind})") for kind in "abcd"[:kinds]})
        assert len(set(counts.values())) == 1  # the bag does not tell the kinds apart
        bag += counts.most_common(1)[0][0] in task.classes[label]
        last += words[-1].strip("()") in task.classes[label]
    assert abs(bag / 2000 - 1 / kinds) < 0.04
    assert abs(last / 2000 - 1 / kinds) < 0.04


@pytest.mark.parametrize(
    "wrong", [{"kinds": 1}, {"kinds": 27}, {"max_depth": 4}, {"max_length": 5}, {"min_length": 101}]
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Dyck"):
        Dyck(**wrong)
