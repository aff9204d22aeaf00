"""The training engine's exceptions."""

from __future__ import annotations

from itnet_core import ITNetError


class RunError(ITNetError):
    """A run's directory cannot be used: it is taken, damaged, or of another run."""


class NonFiniteError(ITNetError, ArithmeticError):
    """A loss or a gradient is not finite. It is raised before the weights change."""
