"""Warnings about data; its errors are the core's."""

from __future__ import annotations


class SkippedSampleWarning(UserWarning):
    """Samples were left out because they could not be read; the message names them and counts."""
