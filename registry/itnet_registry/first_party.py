"""Which of the project's distributions brings which component, so that the error for a missing one can say so."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from itnet_core.plugin.specs import KINDS

_BRINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "itnet-image": {
        "encoder": ("patch", "conv-stem"),
        "task": ("digits", "fashion-mnist", "cifar-10", "imagenet-1k", "image-folder"),
    },
    "itnet-text": {
        "encoder": ("token", "pretrained"),
        "task": ("glue/*", "text-table", "text-table-regression"),
        "command": ("train-tokenizer", "glue-average"),
    },
    "itnet-pointcloud": {
        "encoder": ("point", "local-group"),
        "task": ("modelnet40", "modelnet10", "mesh-folder", "part-segmentation"),
    },
    "itnet-vision-language": {
        "encoder": ("image-text", "image-pair-text", "open-clip"),
        "head": ("contrastive",),
        "task": ("vqa-v2", "nlvr2", "image-text-retrieval", "easy-vqa"),
    },
    "itnet-audio": {
        "encoder": ("mel", "waveform"),
        "task": ("speech-commands", "audio-folder"),
    },
    "itnet-kernels": {
        "kernel": (
            "convolution",
            "continuous-convolution",
            "attention",
            "linear-attention",
            "retention",
            "s4",
            "s4d",
            "mamba",
            "mamba2",
            "lstm",
            "gru",
            "low-rank",
            "cross",
            "gaussian",
        ),
    },
    "itnet-samplers": {"sampler": ("monte-carlo", "neighbours", "landmarks")},
    "itnet-native": {"evaluator": ("native",)},
    "itnet-triton": {"evaluator": ("triton",)},
    "itnet-quasilinear": {"evaluator": ("sorted", "chebyshev")},
    "itnet-train": {"command": ("train", "evaluate", "predict"), "section": ("train",)},
}


def bringer(kind: str, name: str) -> str | None:
    """Return the distribution that brings something, bare or canonical.

    Args:
        kind: a component's kind, `"component"` for any of them, `"command"`, or `"section"` of a configuration file.
        name: what is looked for.
    """
    for distribution, known in _names(kind):
        if fnmatchcase(name, known) or fnmatchcase(name, f"{distribution}/{known}"):
            return distribution
    return None


def names(kind: str) -> list[str]:
    """Return the bare names of the kind that the project's distributions bring, families left out."""
    return [name for _, name in _names(kind) if "*" not in name]


def _names(kind: str) -> Iterator[tuple[str, str]]:
    for distribution, kinds in _BRINGS.items():
        for each, brought in kinds.items():
            if each == kind or (kind == "component" and each in KINDS):
                for name in brought:
                    yield distribution, name
