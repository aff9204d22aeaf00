from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from itnet_image.tasks.digits import Digits
from itnet_testing import TaskConformance


def test_digits(check_task: Any) -> None:
    check_task(Digits(), {"train": 1295, "validation": 143, "test": 359}, (1, 8, 8))


def test_every_split_has_every_class_in_like_shares() -> None:
    for split in ("train", "validation", "test"):
        dataset = Digits().dataset(split)
        counts = Counter(dataset.labels)
        assert set(counts) == set(range(10))
        assert max(counts.values()) - min(counts.values()) <= 0.1 * len(dataset) / 10 + 1


def test_training_turns_digits_a_little_and_shifts_them_where_that_is_asked_for() -> None:
    def mean_change(**options: int) -> float:
        torch.manual_seed(0)
        plain, augmented = (Digits(augment=on, **options).dataset("train") for on in (False, True))  # type: ignore[arg-type]
        return float(torch.stack([(plain[i].inputs - augmented[i].inputs).abs().mean() for i in range(40)]).mean())  # type: ignore[union-attr]

    little = mean_change()
    assert 0 < little < mean_change(shift=3)


class TestConformance(TaskConformance):
    component = "itnet-image/digits"
    images: Sequence[Any]
    encoder: ClassVar = {"name": "itnet-image/patch", "patch_size": 4}

    @pytest.fixture(autouse=True)
    def _files(self, write_image: Callable[..., Path]) -> None:
        self.write_image = write_image

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return self.images

    def user_file(self, folder: Path) -> Path:
        return self.write_image(folder / "digit.png", size=(8, 8), mode="L")
