"""Contests on images with text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evidence.baselines import joint
from evidence.contest import BUDGET, Contest, Entry, itnet

TOKENIZER = "data/easy-vqa/tokenizer.json"
IMAGE_TEXT: Mapping[str, Any] = {
    "name": "image-text",
    "image": {"name": "conv-stem", "strides": [2, 2, 2, 2], "norm": "batch"},
    "text": {"name": "token", "tokenizer": TOKENIZER},
}
RIVALS = (
    Entry(
        "late fusion of ResNet and LSTM",
        "timm, torch",
        joint.late_fusion,
        {"tokenizer": TOKENIZER, "depth": 2, "widths": [16, 32, 48], "dim": 64, "hidden": 48},
    ),
    Entry(
        "two Transformers",
        "timm, torch",
        joint.two_towers,
        {"tokenizer": TOKENIZER, "patch": 8, "dim": 52, "layers": 3, "heads": 4},
    ),
)

EASY_VQA = Contest(
    "easy-vqa",
    "Vision and language: questions about shapes",
    "10,000 questions about images of 64 × 64 pixels, 12 epochs in batches of 64; test on 9,673 about other images",
    {"name": "easy-vqa", "root": "data/easy-vqa", "training_samples": 10000},
    {**BUDGET, "epochs": 12},
    itnet(
        "ITNet",
        preset="itnet-nano",
        encoder=IMAGE_TEXT,
    ),
    (
        *RIVALS,
        itnet("ITNet, each point of equal weight", preset="itnet-nano", encoder={**IMAGE_TEXT, "measure": "mean"}),
    ),
    conditions={
        "without the image": {"evaluation_missing": "image"},
        "without the question": {"evaluation_missing": "text"},
    },
    goals="at least the best",
)
EASY_VQA_PAIRS = Contest(
    "easy-vqa-pairs",
    "Vision and language: statements about two images of shapes",
    "10,000 pairs of images of 64 × 64 pixels, each with a statement, true of half of them, 8 epochs in batches of 64;"
    " test on 5,000 pairs of other images",
    {"name": "easy-vqa-pairs", "root": "data/easy-vqa", "training_samples": 10000, "test_samples": 5000},
    {**BUDGET, "epochs": 8},
    itnet("ITNet", preset="itnet-nano", encoder={**IMAGE_TEXT, "name": "image-pair-text"}),
    RIVALS,
    conditions={
        "without the images": {"evaluation_missing": "image"},
        "without the statement": {"evaluation_missing": "text"},
    },
    goals="at least the best",
)
