"""The package's exceptions."""

from __future__ import annotations

from itnet_core import ITNetError


class ConversionError(ITNetError, ValueError):
    """A module has no exact counterpart among integral operators."""


class FactorizationError(ITNetError, ValueError):
    """A kernel has no factorisation of low rank, or the data for it do not suffice."""
