"""Worked by hand, and against a plain count."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from itnet_vision_language.metrics.recall import MeanRecall


def counted(images: Tensor, texts: Tensor, numbers: Tensor) -> dict[str, float]:
    """Return recall by sorting, for embeddings of pairs without ties."""
    distinct = sorted(set(numbers.tolist()))
    first = {n: numbers.tolist().index(n) for n in distinct}
    own = torch.stack([images[first[n]] for n in distinct])
    similarity = own @ texts.T
    actual = {}
    for k in (1, 5, 10):
        top = similarity.argsort(1, descending=True)[:, :k]
        hits = [any(numbers[j] == n for j in row) for n, row in zip(distinct, top.tolist(), strict=True)]
        actual[f"image_to_text_r{k}"] = sum(hits) / len(hits)
        top = similarity.T.argsort(1, descending=True)[:, :k]
        hits = [any(distinct[i] == n for i in row) for n, row in zip(numbers.tolist(), top.tolist(), strict=True)]
        actual[f"text_to_image_r{k}"] = sum(hits) / len(hits)
    return actual


def test_it_is_what_sorting_finds() -> None:
    numbers = torch.tensor([4, 4, 4, 9, 9, 1, 7, 7, 2, 3, 0, 5, 6, 8, 11, 12, 13, 14])
    own = torch.randn(15, 6).double()
    images, texts = own[numbers], own[numbers] + torch.randn(18, 6)
    metrics = MeanRecall().with_parts()
    for part in (slice(0, 5), slice(5, 18)):
        for metric in metrics.values():
            metric.update(torch.cat([images[part], texts[part]]), numbers[part])
    expected = counted(images, texts, numbers)
    assert len(set(expected.values())) > 3  # else it would show little
    for name, share in expected.items():
        assert metrics[name].compute() == pytest.approx(share), name
    assert metrics["mean_recall"].compute() == pytest.approx(sum(expected.values()) / 6)


def test_by_hand() -> None:
    """Two images with two captions each; one caption lies by the other image."""
    east, north = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    images = torch.stack([east, east, north, north])
    texts = torch.stack([east, 0.9 * north, 0.8 * north, 0.7 * north + 0.1 * east])
    metrics = MeanRecall().with_parts()
    for metric in metrics.values():
        metric.update(torch.cat([images, texts]), torch.tensor([5, 5, 3, 3]))
    # Image 5 finds its first caption; image 3 finds 0.9 north, which is the other's. Three captions find theirs.
    assert metrics["image_to_text_r1"].compute() == 0.5
    assert metrics["image_to_text_r5"].compute() == 1
    assert metrics["text_to_image_r1"].compute() == 0.75


def test_one_point_for_everything_finds_nothing() -> None:
    metric = MeanRecall()
    metric.update(torch.ones(60, 4), torch.arange(30))
    assert metric.compute() == 0
    metric.reset()
    metric.update(torch.eye(30).repeat(2, 1), torch.arange(30))
    assert metric.compute() == 1
