"""Contests on sequences: one trunk for all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional

from evidence.baselines.over_fields import over_field
from evidence.contest import Contest, Entry, itnet, tokens_correct

SEQUENCE: Mapping[str, Any] = {
    "width": 64,
    "depth": 3,
    "ffn_ratio": 2,
    "kernel": {
        "name": "sum",
        "kernels": [
            {"name": "attention", "heads": 4},
            {
                "name": "mlp",
                "heads": 4,
                "hidden": 16,
                "rank": 8,
                "frequencies": 4,
                "support": {"window": 0.6},
            },
        ],
    },
}
"""One trunk for all tasks on sequences."""

CAUSAL: Mapping[str, Any] = {
    **SEQUENCE,
    "kernel": {
        "name": "sum",
        "kernels": [
            {**kernel, "support": {**kernel.get("support", {}), "causal": "t"}}
            for kernel in SEQUENCE["kernel"]["kernels"]
        ],
    },
}
"""The same, over the past alone."""

CONTENT: Mapping[str, Any] = {"kernel": {"name": "attention", "heads": 4}, "position": "none", "ffn_ratio": 3.15}
POSITION: Mapping[str, Any] = {
    "kernel": {
        "name": "mlp",
        "heads": 8,
        "hidden": 24,
        "frequencies": 4,
        "inputs": ["displacement", "distance", "fourier"],
    },
    "ffn_ratio": 3.95,
}
"""What remains of the trunk if its kernels read content alone, or position alone, with as many parameters."""


Mixers = Mapping[str, tuple[str, str, Mapping[str, Any]]]
"""The library, the mixer and its options by the network's name."""


def both_ways(longest: int) -> Mixers:
    """Return the mixers that an ITNet is compared with on sequences of at most `longest` points."""
    return {
        "LSTM": ("torch", "recurrent", {"hidden": 56, "layers": 2}),
        "Transformer": ("torch", "transformer", {"layers": 3, "ratio": 3.3, "longest": longest}),
        "S4D": ("itnet-kernels", "s4d", {"layers": 4, "state": 64, "bidirectional": True}),
        "Mamba": ("transformers", "mamba", {"layers": 2, "bidirectional": True}),
        "bag": ("torch", "bag", {"hidden": 900}),
    }


def causal(longest: int) -> Mixers:
    """Return the same mixers, forward in time alone."""
    return {
        "LSTM": ("torch", "recurrent", {"hidden": 96, "layers": 2, "bidirectional": False}),
        "Transformer": ("torch", "transformer", {"layers": 3, "ratio": 3.3, "longest": longest, "causal": True}),
        "S4D": ("itnet-kernels", "s4d", {"layers": 8, "state": 64}),
        "Mamba": ("transformers", "mamba", {"layers": 4}),
        "bag": ("torch", "bag", {"hidden": 1080}),
    }


def sequences(encoder: str | Mapping[str, Any], mixers: Mixers) -> tuple[Entry, ...]:
    """Return networks of mixers over the same encoder."""
    return tuple(
        Entry(name, source, over_field, {"encoder": encoder, "mixer": mixer, "dim": 64, **options})
        for name, (source, mixer, options) in mixers.items()
    )


def sequence_contest(
    name: str,
    title: str,
    what: str,
    task: Mapping[str, Any],
    epochs: int,
    longest: int,
    encoder: Mapping[str, Any] = {"name": "token"},
    **options: Any,
) -> Contest:
    """Return a contest on sequences: the same trunk, recipe and rivals for each."""
    return Contest(
        name,
        title,
        f"{what}, {epochs} epochs in batches of 32",
        task,
        {"batch_size": 32, "warmup": 0.1, "epochs": epochs},
        itnet("ITNet", **SEQUENCE, encoder=encoder),
        (
            *sequences(encoder, both_ways(longest)),
            itnet("ITNet, content alone", **{**SEQUENCE, **CONTENT}, encoder=encoder),
            itnet("ITNet, position alone", **{**SEQUENCE, **POSITION}, encoder=encoder),
        ),
        goals="at least the best, with one trunk for all tasks on sequences",
        **options,
    )


RECALL = sequence_contest(
    "associative-recall",
    "Sequences: associative recall (MQAR)",
    "20,000 sequences of 64 tokens, 8 pairs of keys and values of a vocabulary of 64",
    {"name": "associative-recall", "pairs": 8, "vocabulary": 64, "length": 64, "training_samples": 20000},
    3,
    64,
    score=tokens_correct,
)
LISTOPS = sequence_contest(
    "listops",
    "Sequences: ListOps of 10 to 100 tokens",
    "20,000 expressions",
    {"name": "listops", "min_length": 10, "max_length": 100, "training_samples": 20000},
    3,
    100,
)
DYCK = sequence_contest(
    "dyck",
    "Sequences: the bracket to close (Dyck)",
    "20,000 prefixes of 10 to 40 brackets of four kinds, at most five deep",
    {"name": "dyck", "kinds": 4, "max_depth": 5, "min_length": 10, "max_length": 40, "training_samples": 20000},
    2,
    40,
)
AGREEMENT = sequence_contest(
    "agreement",
    "Text: subject–verb agreement with attractors",
    "2,000 generated sentences with up to five attractors",
    {"name": "agreement", "training_samples": 2000, "attractors": 5},
    6,
    64,
)
WORD_ORDER = sequence_contest(
    "word-order",
    "Text: neighbouring words of a sentence swapped or not",
    "Sentences of film reviews, original and with four pairs of neighbouring words swapped",
    {
        "name": "word-order",
        "table": "data/reviews/movieReviewSnippets_GroundTruth.txt",
        "header": False,
        "text": 2,
        "swaps": 4,  # of one pair, no network learns anything in so many steps
    },
    4,
    64,
    {"name": "token", "tokenizer": "data/reviews/tokenizer.json", "max_length": 64},
)
PIXELS = sequence_contest(
    "sequential-fashion",
    "Sequences: Fashion-MNIST, row by row",
    "5,000 training images as sequences of 196 groups of four pixels",
    {"name": "fashion-mnist", "root": "data/fashion-mnist", "training_samples": 5000},
    6,
    196,
    {"name": "pixel-sequence", "pixels": 4},
)


def bits(prediction: Tensor, targets: Tensor) -> Tensor:
    """Return the bits per token of each stretch, of logits (B, N, vocabulary) and targets (B, N)."""
    nats = functional.cross_entropy(prediction.mT, targets, reduction="none")
    return nats.mean(1) / math.log(2)


CHARACTERS = Contest(
    "characters",
    "Sequences: the next character of reviews",
    "13,581 stretches of 128 bytes, 3 epochs in batches of 32",
    {"name": "language-model", "train": "data/reviews", "header": False, "text": 2, "length": 128},
    {"batch_size": 32, "warmup": 0.1, "epochs": 3},
    itnet("ITNet", **CAUSAL, encoder="token"),
    sequences("token", causal(128)),
    metric="bits",
    higher=False,
    score=bits,
    goals="at least the best, with one trunk for all tasks on sequences",
)
"""The same trunk, causal."""
