"""Networks of timm and torch for images with texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any

import torch
from torch import Tensor, nn

from evidence.baselines.images import residual, transformer
from evidence.baselines.over_fields import Recurrent, Transformer
from itnet_core.models.head import mean
from itnet_registry import create
from itnet_vision_language.inputs import ImageText


class TwoBranches(nn.Module):
    """A network of the images and one of the text, each to a vector, and an MLP on all vectors and their products."""

    def __init__(
        self, image: nn.Module, words: nn.Module, text: nn.Module, dim: int, reference: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.image, self.words, self.text = image, words, text
        task = create("task", **reference)
        vectors = task.images + 1
        width = (vectors + comb(vectors, 2)) * dim
        self.head = nn.Sequential(nn.Linear(width, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, task.head["classes"]))

    def forward(self, inputs: ImageText) -> Tensor:
        """Return logits."""
        images = inputs.images if inputs.images.ndim == 5 else inputs.images.unsqueeze(1)
        field = self.words(inputs.texts)
        text = mean(field.with_values(self.text(field.values, field.mask)))
        vectors = [*self.image(images.flatten(0, 1)).unflatten(0, images.shape[:2]).unbind(1), text]
        products = [one * other for one, other in combinations(vectors, 2)]
        logits: Tensor = self.head(torch.cat([*vectors, *products], -1))
        return logits


def late_fusion(
    task: Mapping[str, Any], *, tokenizer: str, depth: int, widths: Sequence[int], dim: int, hidden: int
) -> nn.Module:
    """Return a residual network for the images, and an LSTM for the text."""
    text = Recurrent(dim, hidden=hidden, layers=1)
    return TwoBranches(residual(3, dim, depth, widths, stride=2), _words(tokenizer, dim), text, dim, task)


def two_towers(
    task: Mapping[str, Any], *, tokenizer: str, patch: int, dim: int, layers: int, heads: int, ratio: float = 4
) -> nn.Module:
    """Return a vision transformer for the images, and a Transformer for the text."""
    image = transformer(3, 64, dim, patch=patch, dim=dim, depth=layers, heads=heads, ratio=ratio)
    text = Transformer(dim, layers=layers, heads=heads, ratio=ratio, longest=64)
    return TwoBranches(image, _words(tokenizer, dim), text, dim, task)


def _words(tokenizer: str, dim: int) -> nn.Module:
    encoder: Any = create("encoder", "token", dim=dim, tokenizer=_content(tokenizer))
    module: nn.Module = encoder
    return module


def _content(tokenizer: str) -> dict[str, Any]:
    from itnet_text.tokenizer import completed_tokenizer

    return completed_tokenizer(tokenizer, "tokenizer")
