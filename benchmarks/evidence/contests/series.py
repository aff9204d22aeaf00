"""Contests on time series."""

from __future__ import annotations

from evidence.baselines import series
from evidence.baselines.over_fields import over_field
from evidence.contest import Contest, Entry, itnet


def series_contest(
    name: str, title: str, what: str, *, epochs: int, batch: int, patch: int = 1, jitter: float = 0.3
) -> Contest:
    """Return a contest on a classification of the UCR and UEA archives."""
    encoder = {"name": "series", "patch": patch}
    files = {split: f"data/series/{name}_{split.upper()}.ts" for split in ("train", "test")}
    return Contest(
        name,
        f"Time series: {title}",
        f"{what}, with noise and warped time in training, {epochs} epochs in batches of {batch}",
        {"name": "series-table", **files, "validation": 0.2, "jitter": jitter, "warp": 0.2},
        {"batch_size": batch, "warmup": 0.2, "epochs": epochs},
        itnet("ITNet", preset="series-pyramid-nano", encoder=encoder),
        (
            Entry("ROCKET", "scikit-learn", series.Rocket, fitted=True),
            Entry("LSTM", "torch", over_field, {"encoder": encoder, "mixer": "recurrent", "dim": 64, "hidden": 70}),
            Entry(
                "Transformer",
                "torch",
                over_field,
                {"encoder": encoder, "mixer": "transformer", "dim": 64, "layers": 4, "ratio": 3.5, "longest": 128},
            ),
        ),
        goals="at least the best",
    )


SERIES = (
    series_contest(
        "JapaneseVowels",
        "nine speakers by two vowels",
        "270 series of 12 channels in training and validation, 370 in the test",
        epochs=30,
        batch=32,
    ),
    series_contest(
        "ItalyPowerDemand",
        "two seasons by a day of power",
        "67 series in training and validation, 1,029 in the test",
        epochs=60,
        batch=8,
    ),
    series_contest(
        "BasicMotions",
        "four motions by six sensors",
        "40 series in training and validation, 40 in the test",
        epochs=60,
        batch=8,
    ),
    series_contest(
        "OSULeaf",
        "six kinds of leaves by their outline",
        "200 series in training and validation, 242 in the test",
        epochs=60,
        batch=32,
        patch=4,
        jitter=0.1,
    ),
)
