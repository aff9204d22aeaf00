from __future__ import annotations

from random import Random
from typing import Any

import pytest

from itnet_core import ConfigError
from itnet_text.tasks.generated.listops import ListOps


def evaluate(words: list[str]) -> int:
    """Evaluate an expression by a stack, innermost operators first."""
    stack: list[str | int] = []
    for word in words:
        if word != "]":
            stack.append(word if word.startswith("[") else int(word))
            continue
        values: list[int] = []
        while not isinstance(stack[-1], str):
            values.append(int(stack.pop()))
        values.sort()
        middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) // 2
        operators = {"[MAX": values[-1], "[MIN": values[0], "[MED": middle, "[SM": sum(values) % 10}
        stack[-1] = operators[str(stack[-1])]
    [value] = stack
    return int(value)


def depth(words: list[str]) -> int:
    level, deepest = 0, 0
    for word in words:
        level += word.startswith("[") - (word == "]")
        deepest = max(deepest, level + word.isdigit())
    return deepest


@pytest.mark.parametrize("options", [{"max_depth": 3, "max_args": 4, "min_length": 5, "max_length": 30}, {}])
def test_the_label_is_the_value_within_all_limits(options: dict[str, Any]) -> None:
    task = ListOps(**options)
    config, lengths, depths = task.config, [], []
    for index in range(200 if options else 10):
        sample = task.dataset("train")[index]
        assert sample is not None
        words = sample.inputs.split()
        assert evaluate(words) == sample.label
        lengths.append(len(words))
        depths.append(depth(words))
    assert config.min_length <= min(lengths) <= max(lengths) <= config.max_length
    assert max(depths) == config.max_depth


def test_arguments_are_two_up_to_the_largest_number() -> None:
    task, random = ListOps(max_depth=2, max_args=5, min_length=1), Random(0)
    assert {len(task.draw(random)[0].inputs.split()) - 2 for _ in range(100)} == {2, 3, 4, 5}


def test_the_example_of_the_paper() -> None:
    """Nangia & Bowman 2018, figure 1."""
    assert evaluate(["[MAX", "2", "9", "[MIN", "4", "7", "]", "0", "]"]) == 9


@pytest.mark.parametrize("wrong", [{"max_depth": 1}, {"max_args": 1}, {"max_length": 3}, {"min_length": 3000}])
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="ListOps"):
        ListOps(**wrong)
