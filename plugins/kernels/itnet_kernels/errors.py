"""The package's exceptions."""

from __future__ import annotations

from itnet_core import ITNetError


class ConversionError(ITNetError, ValueError):
    """A module cannot be converted exactly."""


class FactorizationError(ITNetError, ValueError):
    """A kernel cannot be factorised into one of low rank."""
