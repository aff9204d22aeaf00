"""The package's exceptions."""

from __future__ import annotations

from itnet_core import ITNetError


class ConversionError(ITNetError, ValueError):
    """A module cannot be converted exactly."""
