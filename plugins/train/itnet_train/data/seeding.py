"""Seeds derived from the run's seed and a position in the run.

No generator state is carried from step to step. So a resumed run draws the same random numbers as an uninterrupted one,
and a sample is augmented in the same way by every data-loading worker.
"""

from __future__ import annotations

import random
from hashlib import blake2b

import numpy
import torch


def derive_seed(seed: int, *position: int | str) -> int:
    """Return the seed for a position in a run, an integer in [0, 2^63).

    Example:
        >>> derive_seed(0, "step", 3, 17) == derive_seed(0, "step", 3, 17)
        True
        >>> derive_seed(0, "step", 3, 17) == derive_seed(0, "step", 3, 18)
        False
    """
    digest = blake2b(repr((seed, *position)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators on all devices."""
    seed_cpu(seed)
    torch.manual_seed(seed)


def seed_cpu(seed: int) -> None:
    """Seed Python's, numpy's and torch's CPU generators; cheap enough to call for every sample."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
