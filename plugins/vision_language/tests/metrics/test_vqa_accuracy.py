"""Worked by hand from the rules of the official evaluation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itnet_vision_language.metrics.vqa_accuracy import accuracy, normalise


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes", "yes"),
        ("A dog", "dog"),
        ("the  man\tand an\napple", "man and apple"),
        ("two", "2"),
        ("none", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("dont", "don't"),
        ("Couldnt've", "couldn't've"),
        ("couldntve", "couldntve"),  # lacks two apostrophes
        ("yall'd've", "y'all'd've"),
        ("ows'at", "ows'at"),  # two again
        ("its", "its"),
        ("Im", "im"),  # the official list has it in capitals, and looks up lower case
        ("somebody'd", "somebodyd"),
        ("red/white", "red white"),  # a sign within words parts them
        ("red / white", "red white"),
        ("red, white", "red white"),
        ("red,white", "red white"),
        ("red, blue-green", "red blue green"),  # "-" stands beside no space itself
        ("1,000", "1000"),
        ("1,000 red/white", "1000 redwhite"),  # a comma between digits removes every sign
        ("t-shirt", "t shirt"),
        ("yes!", "yes"),
        ("what?!", "what"),
        ("u.s.", "us"),
        ("2.5", "2.5"),
        ("at 2.", "at 2"),
        ("p.m.", "pm"),
        ("5.p", "5p"),  # meant to stay after a digit, but the official expression looks for "<=" there
        (".5", ".5"),
        ("10:30", "10:30"),  # a colon is no punctuation here
        ("dog's", "dog's"),
        ("a", ""),
        ("", ""),
    ],
)
def test_normalisation(answer: str, expected: str) -> None:
    assert normalise(answer) == expected


def test_at_most_32_periods_are_removed() -> None:
    assert normalise("." * 40) == "." * 8


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, 0.0),
        (1, 0.3),  # nine annotators leave it at 1/3, and its own at 0
        (2, 0.6),  # (8 · 2/3 + 2 · 1/3) / 10
        (3, 0.9),  # (7 · 1 + 3 · 2/3) / 10
        (4, 1.0),
        (10, 1.0),
    ],
)
def test_the_official_accuracy(count: int, expected: float) -> None:
    given = ["red"] * count + [f"other {i}" for i in range(10 - count)]
    assert accuracy("red", given) == pytest.approx(expected)


def test_answers_are_normalised_where_annotators_differ() -> None:
    given = ["two", "2", "The 2", "2.", "Two!", *"abcde"]
    assert accuracy("2", given) == 1
    assert accuracy("two", given) == 1


def test_answers_are_compared_as_they_stand_where_annotators_agree() -> None:
    assert accuracy("2", ["two"] * 10) == 0
    assert accuracy("two", ["two "] * 10) == 1


@given(st.lists(st.sampled_from(["yes", "no", "2", "red"]), min_size=10, max_size=10))
def test_it_is_the_mean_over_annotators_left_out(given: list[str]) -> None:
    shares = []
    for i in range(10):
        others = given[:i] + given[i + 1 :]
        shares.append(min(1, others.count("yes") / 3))
    assert accuracy("yes", given) == pytest.approx(sum(shares) / 10)
