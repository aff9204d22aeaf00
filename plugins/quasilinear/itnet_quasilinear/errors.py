"""The package's exceptions."""

from __future__ import annotations

from itnet_core import ITNetError


class ToleranceError(ITNetError, ValueError):
    """Interpolation does not meet the tolerance."""
