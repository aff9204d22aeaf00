from __future__ import annotations

from collections import Counter

from itnet_image.digits import Digits


def test_digits(check_task) -> None:
    check_task(Digits(), {"train": 1295, "validation": 143, "test": 359}, (1, 8, 8))


def test_every_split_has_every_class_in_like_shares() -> None:
    for split in ("train", "validation", "test"):
        dataset = Digits().dataset(split)  # type: ignore[arg-type]
        counts = Counter(dataset.labels)
        assert set(counts) == set(range(10))
        assert max(counts.values()) - min(counts.values()) <= 0.1 * len(dataset) / 10 + 1
