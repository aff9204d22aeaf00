"""A pretrained sentence encoder, as it is or unlocked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from itnet_kernels import convert_model, unlock
from itnet_registry import create


class Sentences(nn.Module):
    """A pretrained encoder's mean over the tokens, and a linear head.

    Args:
        encoder: of texts.
        classes: number of classes.
    """

    def __init__(self, encoder: Any, classes: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.dim, classes)

    def forward(self, texts: Any) -> Tensor:
        """Return the logits, (B, classes)."""
        field = self.encoder(texts)
        logits: Tensor = self.head((field.values * field.mask.unsqueeze(-1)).sum(1) / field.mask.sum(1, keepdim=True))
        return logits


def minilm(
    task: Mapping[str, Any],
    *,
    model: str,
    kernel: Mapping[str, Any] | None = None,
    frozen: bool = False,
    max_length: int = 64,
) -> nn.Module:
    """Return a pretrained encoder under a linear head; with `kernel`, its attention is converted and unlocked.

    Attention weights are not dropped, since an unlocked layer integrates over all of them.
    """
    config = {"model": model, "frozen": frozen, "max_length": max_length}
    encoder: Any = create("encoder", "pretrained", dim=384, **config)
    encoder.load_pretrained()
    for module in encoder.body.modules():
        if isinstance(dropout := getattr(module, "dropout", None), nn.Dropout) and hasattr(module, "query"):
            dropout.p = 0.0
    sentences = Sentences(encoder, len(task["classes"]))  # its head is the same for a seed
    if kernel is not None:
        convert_model(encoder.body)
        unlock(encoder.body, kernel)
    return sentences
