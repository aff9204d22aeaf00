"""Statements about two images of shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import NamedTuple

from itnet_core import DataError
from itnet_vision_language.data.shapes import Shape


class Property(NamedTuple):
    """A value of an attribute.

    Example:
        >>> str(Property("color", "red")), str(Property("shape", "circle"))
        ('a red shape', 'a circle')
    """

    attribute: str
    value: str

    def __str__(self) -> str:
        return f"a {self.value} shape" if self.attribute == "color" else f"a {self.value}"


def properties(shape: Shape) -> list[Property]:
    """Return the properties of a shape."""
    return [Property("color", shape.color), Property("shape", shape.shape)]


class Form(NamedTuple):
    """A form of statements, and the images that it is paired with.

    Each letter of `left` and `right` is an image, by the properties x and y, a color and a shape in any order:

    | letter | the image has |
    |---|---|
    | `x` | x |
    | `o` | not x |
    | `z` | another value of x's attribute |
    | `y` | y |
    | `b` | x and y |
    | `p` | x, but not y |
    | `q` | y, but not x |

    Attributes:
        text: the statement, with places for the properties.
        left: the left images.
        right: the right images.
        truth: whether the statement is true of the first left image with the first right image.
        attribute: attribute of x, or either.
    """

    text: str
    left: str
    right: str
    truth: bool = True
    attribute: str | None = None


FORMS = (
    Form("the shapes have the same color", "xz", "xz", attribute="color"),
    Form("the shapes have different colors", "xz", "xz", truth=False, attribute="color"),
    Form("the images show the same shape", "xz", "xz", attribute="shape"),
    Form("the images show different shapes", "xz", "xz", truth=False, attribute="shape"),
    Form("only one image shows {x}", "xo", "xo", truth=False),
    Form("both images show {x}", "xxo", "xxo"),
    Form("no image shows {x}", "oox", "oox"),
    Form("at least one image shows {x}", "oox", "oox", truth=False),
    Form("the left image shows {x} and the right image {y}", "bxq", "ybp"),
)
"""Of the last form's false pairs, each is a true one with left and right exchanged."""

PAIRS = {
    2: ((0, 0, True), (1, 1, True), (0, 1, False), (1, 0, False)),
    3: ((0, 0, True), (1, 1, True), (0, 2, False), (2, 1, False)),
}
"""Numbers of the left and the right image of four pairs, and whether the truth is that of the first pair; by the number
of images of a side."""


class Pair(NamedTuple):
    """Two images, seldom the same one, with a statement."""

    left: Shape
    right: Shape
    statement: str
    truth: bool


class Statements:
    """Draw statements, each with two pairs of which it is true and two of which it is false.

    Of forms with two images on each side, each image is in one true and in one false pair, so that a statement and one
    image do not decide. Of forms with three, one image is in both, and the others decide: the best guess from the
    statement and one image is right in 3/4 of the pairs, the least that is possible for a conjunction or its negation.

    Example:
        >>> shapes = [Shape(0, "red", "circle"), Shape(1, "red", "triangle")]
        >>> shapes += [Shape(2, "blue", "circle"), Shape(3, "blue", "triangle")]
        >>> for left, right, statement, truth in Statements(shapes, "questions.json").draw(Random(7)):
        ...     print(left.image, right.image, statement, truth)
        1 0 both images show a triangle False
        1 1 both images show a triangle True
        3 1 both images show a triangle True
        0 1 both images show a triangle False

    Args:
        shapes: the images to draw from.
        place: where they come from, for errors.

    Raises:
        DataError: a color occurs with one shape alone, or a shape with one color.
    """

    def __init__(self, shapes: Sequence[Shape], place: str) -> None:
        kinds = {(shape.color, shape.shape) for shape in shapes}
        counts = Counter(value for kind in kinds for value in kind)
        alone = [value for value, count in sorted(counts.items()) if count == 1]
        if alone or not shapes:
            raise DataError(
                place,
                found=f"{', '.join(alone) or 'nothing'} in one combination of color and shape",
                expected="each color with two shapes, and each shape with two colors, in each split",
                hint="Hold out more images, with validation.",
            )
        self.shapes = shapes
        self._with = cache(self._find)

    def draw(self, random: Random) -> list[Pair]:
        """Draw a statement with four pairs, in random order."""
        form, shape = random.choice(FORMS), random.choice(self.shapes)
        x, y = random.sample(properties(shape), 2)
        if form.attribute not in (None, x.attribute):
            x, y = y, x
        other = random.choice(self._with((x, False)))
        z = next(z for z in properties(other) if z.attribute == x.attribute)
        letters = {
            "x": [(x, True)],
            "o": [(x, False)],
            "z": [(z, True)],
            "y": [(y, True)],
            "b": [(x, True), (y, True)],
            "p": [(x, True), (y, False)],
            "q": [(x, False), (y, True)],
        }
        left, right = ([random.choice(self._with(*letters[letter])) for letter in side] for side in form[1:3])
        statement = form.text.format(x=x, y=y)
        pairs = [Pair(left[i], right[j], statement, same == form.truth) for i, j, same in PAIRS[len(left)]]
        random.shuffle(pairs)
        return pairs

    def _find(self, *wanted: tuple[Property, bool]) -> list[Shape]:
        """Return the images that have some properties and lack others."""
        return [shape for shape in self.shapes if all((x.value in shape) == has for x, has in wanted)]
