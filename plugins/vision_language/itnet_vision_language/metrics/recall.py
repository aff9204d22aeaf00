"""Recall at k of image-text retrieval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric as TorchMetric
from torchmetrics.utilities import dim_zero_cat

from itnet_core import Metric

FIRST = (1, 5, 10)
ROWS = 512
"""Number of queries whose similarities with all candidates are in memory at a time."""


class MeanRecall(TorchMetric):
    """Mean of recall at 1, 5 and 10, from images to captions and from captions to images.

    It stores all embeddings of the split; `with_parts` adds the six recalls. An image may have several captions, any of
    which counts. Among equal similarities, wrong candidates rank first, so that a model that maps everything to one
    point has recall 0.
    """

    full_state_update = False
    images: list[Tensor]
    texts: list[Tensor]
    numbers: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("images", "texts", "numbers"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add embeddings (2B, d) of B images and then of their captions, and the images' numbers (B,)."""
        images, texts = prediction.detach().chunk(2)
        self.images.append(images)
        self.texts.append(texts)
        self.numbers.append(target)

    def compute(self) -> Tensor:
        """Return the mean of the six recalls."""
        return torch.stack([part for _, part in sorted(self.parts().items())]).mean()

    def parts(self) -> dict[str, Tensor]:
        """Compute recall at k in both directions, by name."""
        captioned = dim_zero_cat(self.numbers)
        numbers, first = _distinct(captioned)
        images, texts = dim_zero_cat(self.images)[first], dim_zero_cat(self.texts)
        ranks = {
            "image_to_text": _ranks(images, texts, numbers, captioned),
            "text_to_image": _ranks(texts, images, captioned, numbers),
        }
        return {f"{way}_r{k}": (rank < k).float().mean() for way, rank in ranks.items() for k in FIRST}

    def with_parts(self) -> Mapping[str, Metric]:
        """Return this metric as `mean_recall`, and its parts by their names."""
        names = [f"{way}_r{k}" for way in ("image_to_text", "text_to_image") for k in FIRST]
        return {"mean_recall": self, **{name: SingleRecall(self, name) for name in names}}


class SingleRecall:
    """One recall of a `MeanRecall`, which collects the embeddings for it.

    Args:
        whole: the metric that collects the embeddings.
        name: name of the recall.
    """

    def __init__(self, whole: MeanRecall, name: str) -> None:
        self.whole, self.name = whole, name

    def update(self, prediction: Tensor, target: Any) -> None:
        """Do nothing: `whole` collects the batch."""

    def compute(self) -> Tensor:
        """Return the recall over everything that `whole` collected."""
        with self.whole.sync_context():
            return self.whole.parts()[self.name]

    def reset(self) -> None:
        """Do nothing: `whole` is reset."""


def _distinct(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct numbers, and the index of the first occurrence of each."""
    distinct, inverse = torch.unique(numbers, return_inverse=True)
    indices = torch.arange(len(numbers), device=numbers.device)
    first = torch.full_like(distinct, len(numbers)).scatter_reduce(0, inverse, indices, "amin")
    return distinct, first


def _ranks(queries: Tensor, candidates: Tensor, query_numbers: Tensor, candidate_numbers: Tensor) -> Tensor:
    """Return for each query the number of wrong candidates before the best right one, shape (queries,)."""

    def chunks() -> Iterator[Tensor]:
        for some, numbers in zip(torch.split(queries, ROWS), torch.split(query_numbers, ROWS), strict=True):
            similarity = some @ candidates.T
            right = numbers.unsqueeze(1) == candidate_numbers
            best = similarity.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
            yield ((similarity >= best) & ~right).sum(1)

    return torch.cat(list(chunks()))
