from __future__ import annotations

from typing import Any

import pytest
import torch

from itnet_core import ShapeError
from itnet_text.texts import TokenBatch, check_texts, text_field
from itnet_text.tokenizer import Tokens


def test_texts_and_pairs_are_a_batch() -> None:
    assert check_texts(["one", ("a", "b"), ["c", "d"]], "here") == [("one",), ("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("a text", r"here: found str; .* Pass a list of texts"),
        ([], "here: found no text"),
        (None, "here: found NoneType"),
        (["fine", ""], r"here\[1\]: found an empty text"),
        ([" \n\t"], r"here\[0\]: found an empty text"),
        ([("fine", "")], r"here\[0\]: found an empty text"),
        ([3], r"here\[0\]: found 3"),
        ([("a", "b", "c")], r"here\[0\]: found \('a', 'b', 'c'\)"),
        ([("a", None)], r"here\[0\]: found \('a', None\)"),
        ([()], r"here\[0\]: found \(\)"),
        (["\ud83d"], r"here\[0\]: found half of a surrogate pair"),
    ],
)
def test_what_is_no_text_is_refused_by_its_place(inputs: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        check_texts(inputs, "here")


def test_tokens_lie_in_the_middle_of_equal_parts_of_time() -> None:
    batch = TokenBatch.of([Tokens([1, 2, 3], [0] * 3), Tokens([1], [0])], torch.device("cpu"))
    field = text_field(torch.randn(2, 3, 5), batch.mask, tokens_per_unit=4)
    assert field.positions[0, :, 0].tolist() == [0.125, 0.375, 0.625]
    assert not field.positions[..., 1:].any()
    assert field.weights.tolist() == [pytest.approx([1 / 3] * 3), [1, 0, 0]]
    assert not field.values[1, 1:].any()
