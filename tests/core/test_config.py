from __future__ import annotations

from typing import Any

import pytest
from pydantic import field_validator

from itnet_core import ComponentConfig, ConfigError
from itnet_core.config import parse


class Clip(ComponentConfig):
    seconds: float = 1.0

    @field_validator("seconds")
    @classmethod
    def _fits(cls, seconds: float) -> float:
        round(seconds)  # raises OverflowError for infinity, which pydantic does not take for a wrong value
        return seconds


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"second": 1}, r"^clip\.second: found a field that does not exist.*Did you mean 'seconds'"),
        ({"seconds": "long"}, r"^clip\.seconds: found 'long'; expected a valid number"),
        ({"seconds": float("inf")}, r"^clip: found OverflowError: .*, when they were checked; expected values"),
    ],
)
def test_what_is_wrong_is_an_error_of_ours(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse(Clip, options, "clip")
