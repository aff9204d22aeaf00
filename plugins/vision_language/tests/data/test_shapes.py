from __future__ import annotations

from pathlib import Path

import pytest

from itnet_core import DataError
from itnet_vision_language.data.shapes import Shape, known_shapes

PATH = Path("questions.json")


@pytest.mark.parametrize(
    "records",
    [
        [("what is the blue shape?", "circle", 7)],
        [("what is the color of the circle?", "blue", 7)],
        [("what shape is present?", "circle", 7), ("what color is the shape?", "blue", 7)],
        [("is a circle present?", "yes", 7), ("is no blue shape present?", "no", 7)],
        [
            ("is there not a rectangle in the image?", "yes", 7),
            ("is there a triangle?", "no", 7),
            ("does the image contain a blue shape?", "yes", 7),
        ],
    ],
)
def test_attributes_follow_from_answers(records: list[tuple[str, str, int]]) -> None:
    assert list(known_shapes(records, PATH)) == [Shape(7, "blue", "circle")]
    assert list(known_shapes(records[::-1], PATH)) == [Shape(7, "blue", "circle")]


@pytest.mark.parametrize(
    "record", [("what shape is present?", "circle", 7), ("is a red shape present?", "no", 7), ("is it?", "red", 7)]
)
def test_an_image_without_two_known_attributes_is_left_out(record: tuple[str, str, int]) -> None:
    assert list(known_shapes([record], PATH)) == []


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (("is it large?", "yes", 7), r"questions.json.0: found 'is it large\?', 'yes'"),
        (("what shape is present?", "hexagon", 7), "'hexagon'; expected a question about a color or shape"),
        (("is there a blue circle?", "no", 7), "'is there a blue circle.', 'no'"),
    ],
)
def test_a_record_that_tells_nothing_is_an_error(record: tuple[str, str, int], message: str) -> None:
    [error] = known_shapes([record], PATH)
    with pytest.raises(DataError, match=message):
        raise error  # type: ignore[misc]


def test_contradictions_are_errors() -> None:
    records = [("what is the red shape?", "circle", 7), ("is there a circle?", "no", 7)]
    [error] = known_shapes(records, PATH)
    assert "contradictory answers about image 7" in str(error)
