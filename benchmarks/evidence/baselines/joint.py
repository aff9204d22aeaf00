"""Networks of timm and torch for images with questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from evidence.baselines.images import residual
from evidence.baselines.over_fields import Recurrent, Transformer
from itnet_registry import create
from itnet_vision_language.inputs import ImageText


def _classes(reference: Mapping[str, Any]) -> int:
    return int(create("task", **reference).head["classes"])


class LateFusion(nn.Module):
    """A residual network for the image, an LSTM for the question, and an MLP on both vectors."""

    def __init__(
        self, task: Mapping[str, Any], *, tokenizer: str, depth: int, widths: Sequence[int], dim: int, hidden: int
    ) -> None:
        super().__init__()
        self.image = residual(3, dim, depth, widths, stride=2)
        self.words = _words(tokenizer, dim)
        self.text = Recurrent(dim, hidden=hidden, layers=1)
        self.head = nn.Sequential(nn.Linear(3 * dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, _classes(task)))

    def forward(self, inputs: ImageText) -> Tensor:
        """Return logits."""
        image, field = self.image(inputs.images), self.words(inputs.texts)
        text = _mean(self.text(field.values, field.mask), field.mask)
        logits: Tensor = self.head(torch.cat([image, text, image * text], -1))
        return logits


class TwoTowers(nn.Module):
    """A vision transformer for the image, a Transformer for the question, and an MLP on both vectors."""

    def __init__(
        self,
        task: Mapping[str, Any],
        *,
        tokenizer: str,
        patch: int,
        dim: int,
        layers: int,
        heads: int,
        ratio: float = 4,
    ) -> None:
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer

        self.image = VisionTransformer(
            img_size=64,
            patch_size=patch,
            num_classes=dim,
            embed_dim=dim,
            depth=layers,
            num_heads=heads,
            mlp_ratio=ratio,
            global_pool="avg",
        )
        self.words = _words(tokenizer, dim)
        self.text = Transformer(dim, layers=layers, heads=heads, ratio=ratio, longest=64)
        self.head = nn.Sequential(nn.Linear(3 * dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, _classes(task)))

    def forward(self, inputs: ImageText) -> Tensor:
        """Return logits."""
        image, field = self.image(inputs.images), self.words(inputs.texts)
        text = _mean(self.text(field.values, field.mask), field.mask)
        logits: Tensor = self.head(torch.cat([image, text, image * text], -1))
        return logits


def _words(tokenizer: str, dim: int) -> nn.Module:
    encoder: Any = create("encoder", "token", dim=dim, tokenizer=_content(tokenizer))
    module: nn.Module = encoder
    return module


def _content(tokenizer: str) -> dict[str, Any]:
    from itnet_text.tokenizer import completed_tokenizer

    return completed_tokenizer(tokenizer, "tokenizer")


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    inside = mask.unsqueeze(-1)
    return (values * inside).sum(1) / inside.sum(1)
