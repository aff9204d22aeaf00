"""Randomness that is derived, never carried on: from the seed and the place in the run where it is used.

So a run that goes on from the middle draws what the uninterrupted run draws there, and a sample is augmented alike
whichever worker loads it.
"""

from __future__ import annotations

import random
from hashlib import blake2b

import numpy
import torch


def derive(seed: int, *place: int | str) -> int:
    """Return the seed of a place in a run (`derive(0, "step", epoch, batch)`), in [0, 2^63)."""
    digest = blake2b(repr((seed, *place)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators, on all devices."""
    seed_host(seed)
    torch.manual_seed(seed)


def seed_host(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators of the CPU; cheap enough to be called for every sample."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
