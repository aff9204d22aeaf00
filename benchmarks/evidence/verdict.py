"""A paired test of two networks on the same samples, over several seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t


@dataclass(frozen=True)
class Verdict:
    """The difference of two networks' scores.

    Attributes:
        difference: mean of ours − theirs; positive is better, whichever way the metric goes.
        low: lower end of its 95% confidence interval.
        high: upper end.
    """

    difference: float
    low: float
    high: float

    @property
    def word(self) -> Literal["better", "equal", "worse"]:
        """What the interval says of ours."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "equal"


def compare(ours: np.ndarray, theirs: np.ndarray, *, higher: bool = True) -> Verdict:
    """Compare two networks by their scores of the same test samples.

    The mean difference has two intervals of 95%, both Student's: of the samples (each sample's difference, averaged
    over the seeds) and of the seeds (each seed's difference, averaged over the samples). The half-width is the root of
    the sum of their squares. With one seed the samples alone count.

    Example:
        >>> samples = np.arange(100) % 2
        >>> compare(np.stack([samples, samples]), np.stack([samples, samples])).word
        'equal'
        >>> compare(np.ones((2, 100)), np.stack([samples, samples])).word
        'better'

    Args:
        ours: shape (seeds, samples).
        theirs: shape (seeds, samples), with seeds of the same numbers.
        higher: whether a higher score is better.
    """
    differences = (ours - theirs) * (1 if higher else -1)
    parts = [_half_width(differences.mean(0))]
    if len(differences) > 1:
        parts.append(_half_width(differences.mean(1)))
    mean, half = float(differences.mean()), float(np.hypot.reduce(parts))
    return Verdict(mean, mean - half, mean + half)


def _half_width(values: np.ndarray) -> float:
    """Return half the width of the interval of a mean."""
    return float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
