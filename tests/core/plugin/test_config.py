from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field as ConfigField
from pydantic import field_validator

from itnet_core import ComponentConfig, ConfigError
from itnet_core.plugin.config import parse
from itnet_core.plugin.errors import closest


class Clip(ComponentConfig):
    seconds: float = 1.0

    @field_validator("seconds")
    @classmethod
    def _fits(cls, seconds: float) -> float:
        round(seconds)  # raises OverflowError for infinity, which pydantic does not take for a wrong value
        return seconds


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"second": 1}, r"^clip\.second: found a field that does not exist.*Did you mean 'seconds'"),
        ({"seconds": "long"}, r"^clip\.seconds: found 'long'; expected a valid number"),
        ({"seconds": float("inf")}, r"^clip: found OverflowError: .*, when they were checked; expected values"),
    ],
)
def test_what_is_wrong_is_an_error_of_ours(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(Clip, options, "clip")


class Part(ComponentConfig):
    size: int = 1
    on: bool = True
    flag_or_number: bool | int = 1


class Whole(ComponentConfig):
    sizes: tuple[float, ...] = ()
    parts: dict[str, Part] = ConfigField(default_factory=dict)
    part: Part = Part()
    axis: str | int = "t"


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"axis": True}, "whole.axis"),
        ({"sizes": [1.0, False]}, "whole.sizes.1"),
        ({"part": {"size": True}}, "whole.part.size"),
        ({"parts": {"a": {"size": 3}, "b": {"size": False}}}, "whole.parts.b.size"),
    ],
)
def test_a_boolean_is_no_number(options: dict[str, Any], place: str) -> None:
    """As pydantic has it, `true` is 1."""
    with pytest.raises(ConfigError, match=rf"^{place}: found true or false; expected a number"):
        parse(Whole, options, "whole")


def test_a_boolean_is_a_boolean() -> None:
    parts = {"a": {"on": False, "flag_or_number": True}}
    assert parse(Whole, {"parts": parts}, "whole").model_dump()["parts"]["a"] == {"size": 1, **parts["a"]}


LONG = "x" * 10_000_000


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({LONG: 1}, "a field that does not exist"),
        ({"sizes": LONG}, "'xxx"),
        ({"part": {LONG: 1}}, "a field that does not exist"),
        ({"parts": {LONG: 1}}, "1"),
        ({"axis": [10**5000]}, "a value of type list that cannot be written out"),
    ],
)
def test_what_is_too_long_is_cut_off(options: dict[str, Any], found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Whole, options, "whole")
    assert caught.value.found.startswith(found)
    assert len(str(caught.value)) < 1000


def test_a_missing_field_says_what_it_is_for() -> None:
    class Inner(ComponentConfig):
        root: str
        """Folder of the data,
        on any disk."""
        count: int

    class Outer(ComponentConfig):
        inner: Inner

    with pytest.raises(ConfigError) as caught:
        parse(Outer, {"inner": {"count": 1}}, "task")
    assert (
        str(caught.value) == "task.inner.root: found nothing; expected a value. root: Folder of the data, on any disk."
    )
    with pytest.raises(ConfigError) as caught:
        parse(Outer, {"inner": {"root": "data"}}, "task")
    assert str(caught.value) == "task.inner.count: found nothing; expected a value."


@pytest.mark.parametrize(
    ("name", "ours"), [("lr", "learning_rate"), ("batch", "batch_size"), ("num_classes", "classes")]
)
def test_names_of_other_libraries_are_understood(name: str, ours: str) -> None:
    assert closest(name, ["learning_rate", "batch_size", "classes", "learner", "num"]) == ours
    assert closest(name, ["epochs"]) is None
