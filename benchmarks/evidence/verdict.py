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

    The variance of the mean difference is that of the samples (of each sample's difference, averaged over the seeds)
    plus that of the seeds (of each seed's difference, averaged over the samples). The interval is Student's, with the
    degrees of freedom of Welch and Satterthwaite. With one seed the samples alone count.

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
    seeds, samples = differences.shape
    parts = [(differences.mean(0).var(ddof=1) / samples, samples - 1)]
    if seeds > 1:
        parts.append((differences.mean(1).var(ddof=1) / seeds, seeds - 1))
    variance = sum(part for part, _ in parts)
    mean = float(differences.mean())
    if variance == 0:
        return Verdict(mean, mean, mean)
    freedom = variance**2 / sum(part**2 / count for part, count in parts)
    half = float(t.ppf(0.975, freedom) * np.sqrt(variance))
    return Verdict(mean, mean - half, mean + half)
