from __future__ import annotations

import copy

from itnet_core import ITNetError, ShapeError


def test_an_error_gives_place_found_expected_and_hint() -> None:
    error = ShapeError("a.b", found="3", expected="4", hint="Give 4.")
    assert str(error) == "a.b: found 3; expected 4. Give 4."
    assert isinstance(error, ITNetError)
    assert isinstance(error, ValueError)


def test_errors_can_be_rebuilt() -> None:
    """As worker processes do, which hand them to their parent."""
    again = copy.copy(ShapeError("a.b", found="3", expected="4"))
    assert str(again) == "a.b: found 3; expected 4."
