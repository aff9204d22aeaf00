from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from itertools import product
from random import Random

import pytest

from itnet_core import DataError
from itnet_vision_language.data.shapes import VALUES, Shape
from itnet_vision_language.data.statements import FORMS, Pair, Statements

SHAPES = [Shape(i, *kind) for i, kind in enumerate(product(*VALUES.values()))] * 2
SHAPES = [shape._replace(image=i) for i, shape in enumerate(SHAPES)]


def drawn(count: int = 2000, seed: int = 0) -> list[Pair]:
    statements, random = Statements(SHAPES, "here"), Random(seed)
    return [pair for _ in range(count) for pair in statements.draw(random)]


def says(pair: Pair) -> bool:
    """Return whether a statement is true, by its words."""
    left, right, words = pair.left, pair.right, pair.statement.split()
    if "color" in words or "colors" in words:
        return (left.color == right.color) == ("same" in words)
    if "shapes" in words or words[-2:] == ["same", "shape"]:
        return (left.shape == right.shape) == ("same" in words)
    named = [word for word in words if word in VALUES["color"] + VALUES["shape"]]
    shown = [named[0] in left, named[-1] in right]
    counts = {"only": [1], "both": [2], "no": [0], "at": [1, 2], "the": [2]}
    return sum(shown) in counts[words[0]]


def best_guess(pairs: Iterable[Pair], given: Callable[[Pair], Hashable]) -> float:
    """Return the share of pairs that the most frequent truth, given something, is right for."""
    truths: defaultdict[Hashable, Counter[bool]] = defaultdict(Counter)
    for pair in pairs:
        truths[given(pair)][pair.truth] += 1
    return sum(max(count.values()) for count in truths.values()) / sum(map(Counter.total, truths.values()))


def test_truth_is_what_the_statement_says() -> None:
    pairs = drawn()
    assert all(says(pair) == pair.truth for pair in pairs)
    assert {" ".join(pair.statement.split()[:2]) for pair in pairs} == {" ".join(f.text.split()[:2]) for f in FORMS}


def test_the_statement_alone_does_not_decide() -> None:
    assert best_guess(drawn(), lambda pair: pair.statement) == 0.5


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_statement_and_one_image_decide_half_of_conjunctions_and_nothing_else(side: str) -> None:
    def image(pair: Pair) -> Hashable:
        return pair.statement, getattr(pair, side)

    def attributes(pair: Pair) -> Hashable:
        return pair.statement, getattr(pair, side)[1:]

    joint: list[Pair] = []
    others: list[Pair] = []
    for pair in drawn():
        (joint if pair.statement.startswith(("both", "no", "at least", "the left")) else others).append(pair)
    for given in (image, attributes):
        assert best_guess(joint, given) == 0.75
        assert best_guess(others, given) == 0.5


def test_the_images_without_the_statement_say_little() -> None:
    assert best_guess(drawn(20_000), lambda pair: (pair.left[1:], pair.right[1:])) < 0.57


def test_left_and_right_exchanged_change_the_truth_of_every_false_pair_that_names_them() -> None:
    pairs = [pair for pair in drawn() if pair.statement.startswith("the left")]
    assert all(says(pair._replace(left=pair.right, right=pair.left)) for pair in pairs if not pair.truth)


def test_the_random_state_decides() -> None:
    assert drawn(9) == drawn(9)
    assert drawn(9) != drawn(9, seed=1)


def test_every_attribute_must_vary() -> None:
    with pytest.raises(DataError, match="here: found blue, circle in one combination of color and shape"):
        Statements([Shape(0, "red", "circle"), Shape(1, "red", "triangle"), Shape(2, "blue", "triangle")], "here")
    with pytest.raises(DataError, match="here: found nothing"):
        Statements([], "here")
