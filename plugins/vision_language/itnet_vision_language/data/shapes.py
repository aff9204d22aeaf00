"""Color and shape of easy-VQA's images, from the questions about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from itnet_core import DataError

VALUES = {
    "color": ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow"),
    "shape": ("circle", "rectangle", "triangle"),
}
"""The values of each attribute."""

ATTRIBUTES = {value: attribute for attribute, values in VALUES.items() for value in values}


class Shape(NamedTuple):
    """The shape in an image, by the image's number."""

    image: int
    color: str
    shape: str


def known_shapes(records: Iterable[tuple[str, str, int]], path: Path) -> Iterator[Shape | DataError]:
    """Yield the shapes whose two attributes follow from the questions, or an error for a bad record or image.

    Example:
        >>> records = [("what is the red shape?", "circle", 0), ("what color is the triangle?", "blue", 1)]
        >>> records += [("is there a circle?", "no", 2), ("is no triangle present?", "yes", 2)]
        >>> records += [("is a red shape present?", "yes", 2)]
        >>> for shape in known_shapes(records, Path("questions.json")):
        ...     print(*shape)
        0 red circle
        1 blue triangle
        2 red rectangle

    Args:
        records: question, answer, and number of the image.
        path: the file that contains them, for errors.
    """
    possible: dict[int, dict[str, set[str]]] = {}
    for index, (question, answer, image) in enumerate(records):
        values = possible.setdefault(image, {attribute: set(values) for attribute, values in VALUES.items()})
        words = set(re.findall(r"\w+", question))
        named = sorted((words | {answer}) & ATTRIBUTES.keys())
        if not named or (answer not in ATTRIBUTES and (answer not in ("yes", "no") or len(named) > 1)):
            expected = "a question about a color or shape with its answer, as in easy-VQA"
            yield DataError(f"{path}.{index}", found=f"{question!r}, {answer!r}", expected=expected)
            continue
        holds = answer in ATTRIBUTES or (answer == "yes") != bool(words & {"no", "not"})
        for value in named:
            values[ATTRIBUTES[value]] &= {value} if holds else values[ATTRIBUTES[value]] - {value}
    for image, values in possible.items():
        if not all(values.values()):
            yield DataError(
                str(path), found=f"contradictory answers about image {image}", expected="one color and shape"
            )
        elif all(len(left) == 1 for left in values.values()):
            yield Shape(image, *(min(left) for left in values.values()))
