"""Exceptions of the training engine."""

from __future__ import annotations

from itnet_core import ITNetError


class RunError(ITNetError):
    """A run directory cannot be used: it is in use, damaged, or belongs to another run."""


class NonFiniteError(ITNetError, ArithmeticError):
    """A loss or a gradient is not finite; raised before the weights change."""
