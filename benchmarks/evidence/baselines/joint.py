"""Networks of timm and torch for images with questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from evidence.baselines.images import residual, transformer
from evidence.baselines.over_fields import Recurrent, Transformer
from itnet_core.models.head import mean
from itnet_registry import create
from itnet_vision_language.inputs import ImageText


def _classes(reference: Mapping[str, Any]) -> int:
    return int(create("task", **reference).head["classes"])


class TwoBranches(nn.Module):
    """A network of the image and one of the question, each to a vector, and an MLP on both vectors."""

    def __init__(self, image: nn.Module, words: nn.Module, text: nn.Module, dim: int, classes: int) -> None:
        super().__init__()
        self.image, self.words, self.text = image, words, text
        self.head = nn.Sequential(nn.Linear(3 * dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, classes))

    def forward(self, inputs: ImageText) -> Tensor:
        """Return logits."""
        image, field = self.image(inputs.images), self.words(inputs.texts)
        text = mean(field.with_values(self.text(field.values, field.mask)))
        logits: Tensor = self.head(torch.cat([image, text, image * text], -1))
        return logits


def late_fusion(
    task: Mapping[str, Any], *, tokenizer: str, depth: int, widths: Sequence[int], dim: int, hidden: int
) -> nn.Module:
    """Return a residual network for the image, and an LSTM for the question."""
    text = Recurrent(dim, hidden=hidden, layers=1)
    return TwoBranches(residual(3, dim, depth, widths, stride=2), _words(tokenizer, dim), text, dim, _classes(task))


def two_towers(
    task: Mapping[str, Any], *, tokenizer: str, patch: int, dim: int, layers: int, heads: int, ratio: float = 4
) -> nn.Module:
    """Return a vision transformer for the image, and a Transformer for the question."""
    image = transformer(3, 64, dim, patch=patch, dim=dim, depth=layers, heads=heads, ratio=ratio)
    text = Transformer(dim, layers=layers, heads=heads, ratio=ratio, longest=64)
    return TwoBranches(image, _words(tokenizer, dim), text, dim, _classes(task))


def _words(tokenizer: str, dim: int) -> nn.Module:
    encoder: Any = create("encoder", "token", dim=dim, tokenizer=_content(tokenizer))
    module: nn.Module = encoder
    return module


def _content(tokenizer: str) -> dict[str, Any]:
    from itnet_text.tokenizer import completed_tokenizer

    return completed_tokenizer(tokenizer, "tokenizer")
