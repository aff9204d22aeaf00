"""Contests on pretrained models: fine-tuning of the original, and of its attention + 0 · MLP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evidence.baselines.texts import minilm
from evidence.contest import Contest, Entry

MODEL: Mapping[str, Any] = {"model": "data/minilm"}
UNLOCKED: Mapping[str, Any] = {"name": "mlp", "heads": 4, "hidden": 8, "rank": 8, "frequencies": 4}
MINILM = Contest(
    "minilm-reviews",
    "Fine-tuning: MiniLM on film reviews, attention + 0 · MLP",
    "3,000 sentences, 2 epochs in batches of 32; MiniLM's weights learn at 0.05 of the rate",
    {
        "name": "text-table",
        "train": "data/reviews/movieReviewSnippets_GroundTruth.txt",
        "header": False,
        "text": 2,
        "label": 1,
        "threshold": 0,
        "classes": ["negative", "positive"],
        "training_samples": 3000,
    },
    {"batch_size": 32, "warmup": 0.1, "epochs": 2, "encoder_learning_rate_scale": 0.05},
    Entry("MiniLM, unlocked", "ITNet", minilm, {**MODEL, "kernel": UNLOCKED}),
    (
        Entry("MiniLM", "transformers", minilm, MODEL),
        Entry("MiniLM, frozen", "transformers", minilm, {**MODEL, "frozen": True}),
    ),
    rates=(0.0005, 0.001, 0.002),
    goals="more accurate than the original at equal steps",
)
