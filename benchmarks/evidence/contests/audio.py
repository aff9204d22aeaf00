"""Contests on audio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evidence.baselines import audio
from evidence.baselines.over_fields import over_field
from evidence.contest import BUDGET, Contest, Entry, itnet

MEL: Mapping[str, Any] = {"name": "mel", "n_mels": 40, "patch_frames": 10, "patch_mels": 10}
LANGUAGES = Contest(
    "languages",
    "Audio: five languages, held-out prompts",
    "1,782 recordings, 14 epochs in batches of 64; test on 495 recordings of 99 other prompts",
    {"name": "audio-folder", "root": "data/languages", "group_by": "name", "sample_rate": 8000, "max_seconds": 3},
    {**BUDGET, "epochs": 14},
    itnet(
        "ITNet",
        preset="itnet-pyramid-nano",
        encoder={"name": "mel", "n_mels": 40, "patch_frames": 5, "patch_mels": 5},
    ),
    (
        Entry("ResNet on log-mel", "timm", audio.MelResNet, {"depth": 2, "widths": [18, 36, 64]}),
        Entry("Conformer", "torchaudio", audio.MelConformer, {"dim": 64, "layers": 3, "heads": 4}),
        Entry("M5", "torchaudio's tutorial", audio.M5, {"width": 80}),
        Entry(
            "Transformer on patches",
            "torch",
            over_field,
            {"encoder": MEL, "mixer": "transformer", "dim": 64, "longest": 128},
        ),
        itnet("ITNet of one width", preset="itnet-nano", encoder=MEL),
    ),
    goals="at least the best, at no more than 1.5 times its cost",
)
