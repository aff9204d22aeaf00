"""Contests on images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evidence.baselines import images
from evidence.baselines.over_fields import over_field
from evidence.contest import BUDGET, Contest, Entry, itnet

RATES = (0.002, 0.004, 0.008)
STEM: Mapping[str, Any] = {"name": "conv-stem", "strides": [1, 2], "norm": "batch"}
FASHION = Contest(
    "fashion-15k",
    "Images: Fashion-MNIST, 15,000 images",
    "15,000 training images, random shifts of 2 pixels, 6 epochs in batches of 64; test on 10,000",
    {"name": "fashion-mnist", "root": "data/fashion-mnist", "training_samples": 15000},
    {**BUDGET, "epochs": 6},
    itnet("ITNet", preset="itnet-pyramid-nano", encoder=STEM),
    (
        Entry("ResNet", "timm", images.resnet, {"depth": 2, "widths": [18, 36, 72]}),
        Entry("ConvNeXt", "timm", images.convnext, {"depths": [2, 2, 2, 2], "dims": [20, 40, 60, 80]}),
        Entry("ViT", "timm", images.vit, {"patch": 4, "dim": 68, "depth": 4, "heads": 4}),
        Entry(
            "Transformer on a stem",
            "torch",
            over_field,
            {"encoder": {"name": "conv-stem", "strides": [2, 2]}, "mixer": "transformer", "dim": 60, "longest": 49},
        ),
        Entry("logistic regression", "scikit-learn", images.Linear, fitted=True),
    ),
    rates=RATES,
    goals="at least the convolutional network",
)

WIDE: Mapping[str, Any] = {
    "preset": "itnet-pyramid-nano",
    "width": 36,
    "trunk": [
        {"width": 36, "kernel": {"support": {"window": 0.36}}, "repeat": 2},
        {"width": 72, "kernel": {"support": {"window": 0.36}}, "query": {"stride": 2}},
        {"width": 72, "kernel": {"support": {"window": 0.72}}, "repeat": 4},
    ],
}
"""The pyramid with widths of 36 and 72."""

CIFAR = Contest(
    "cifar-15k",
    "Images: CIFAR-10, 15,000 images",
    "15,000 training images, random shifts of 4 pixels and mirroring, 8 epochs in batches of 64; test on 10,000",
    {"name": "cifar-10", "root": "data/cifar-10", "training_samples": 15000},
    {**BUDGET, "epochs": 8},
    itnet("ITNet", **WIDE, encoder=STEM),
    (
        Entry("ResNet-20", "timm", images.resnet, {"depth": 3, "widths": [16, 32, 64]}),
        Entry("ConvNeXt", "timm", images.convnext, {"depths": [2, 2, 2, 2], "dims": [24, 44, 60, 84]}),
        Entry("ViT", "timm", images.vit, {"patch": 4, "dim": 76, "depth": 4, "heads": 4}),
        Entry("logistic regression", "scikit-learn", images.Linear, fitted=True),
    ),
    rates=RATES,
    goals="at least ResNet-20 at the same steps",
)
