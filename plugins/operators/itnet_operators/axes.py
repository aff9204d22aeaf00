"""Types of options that name axes of space-time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field as ConfigField
from pydantic import PositiveFloat

AxisLetters = Annotated[str, ConfigField(pattern="^[txyz]{1,4}$")]
"""Axes in some order, such as `yx`."""

Periods = dict[Literal["t", "x", "y", "z"], PositiveFloat]
"""Length of the period of each periodic axis."""
