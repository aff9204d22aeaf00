"""Warnings about data; errors about data are the core's `DataError`."""

from __future__ import annotations


class SkippedSampleWarning(UserWarning):
    """Samples were skipped because they could not be read; the message names one and counts all."""


class FullCacheWarning(UserWarning):
    """A cache is full, so that further samples are decoded each time."""
