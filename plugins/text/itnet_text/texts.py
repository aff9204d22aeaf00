"""Check texts and pairs of texts, and place their tokens in time."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from itnet_core import AXES, Field, ShapeError
from itnet_text.tokenizer import Tokens, token_names

Text = str | tuple[str, str]
"""One text, or two that belong together."""

EXAMPLE: tuple[Text, ...] = ("a fine film", ("a film", "it is dull"))
"""Example input of the encoders."""


def check_texts(inputs: Any, place: str) -> list[tuple[str, ...]]:
    """Return a batch of texts as tuples of one or two strings.

    Raises:
        ShapeError: the inputs are not texts, or one is empty.
    """
    expected = "a list of texts, each a string or a pair of strings, none of them empty"
    if isinstance(inputs, str) or not isinstance(inputs, list | tuple) or not inputs:
        found = "no text" if isinstance(inputs, list | tuple) else type(inputs).__name__
        hint = "Pass a list of texts." if isinstance(inputs, str) else ""
        raise ShapeError(place, found=found, expected=expected, hint=hint)
    texts = []
    for index, text in enumerate(inputs):
        parts = (text,) if isinstance(text, str) else tuple(text) if isinstance(text, list | tuple) else ()
        if len(parts) not in (1, 2) or not all(isinstance(part, str) for part in parts):
            raise ShapeError(f"{place}[{index}]", found=f"{text!r:.60}", expected=expected)
        if fault := next(filter(None, map(text_fault, parts)), ""):
            raise ShapeError(f"{place}[{index}]", found=fault, expected=expected)
        texts.append(parts)
    return texts


def text_fault(text: str) -> str:
    """Return why a text cannot be read, or ""."""
    if not text.strip():
        return "an empty text"
    # JSON can say "\\ud800", which is not a character, and which no tokenizer takes.
    return "half of a surrogate pair" if any("\ud800" <= character <= "\udfff" for character in text) else ""


class TokenBatch(NamedTuple):
    """Tokenized texts as tensors of shape (B, longest): the inputs of an encoder's exported graph.

    Attributes:
        ids: token numbers, int64.
        segments: 0 for tokens of the first text, 1 for the second, int64.
        mask: which tokens are not padding, bool; padding comes last.
    """

    ids: Tensor
    segments: Tensor
    mask: Tensor

    @classmethod
    def of(cls, tokens: list[Tokens], device: torch.device) -> TokenBatch:
        """Collate the tokens of texts, padding the shorter ones."""
        longest = max(len(text.ids) for text in tokens)
        sides = [(text.ids, text.segments, [True] * len(text.ids)) for text in tokens]
        padded = (
            [[*row, *[type(row[0])()] * (longest - len(row))] for row in rows] for rows in zip(*sides, strict=True)
        )
        return cls(*(torch.tensor(rows, device=device) for rows in padded))

    def names(self, tokenizer: Tokenizer | None) -> list[list[str]]:
        """Return the tokens of each text as text, without padding."""
        return [token_names(tokenizer, ids[mask].tolist()) for ids, mask in zip(self.ids, self.mask, strict=True)]


def text_field(values: Tensor, mask: Tensor, tokens_per_unit: float) -> Field:
    """Return the field of tokens, the i-th at t = (i + 1/2) / tokens_per_unit, with equal weights in each text.

    Args:
        values: shape (B, N, d); values after the end of a text are ignored.
        mask: which tokens are not padding, shape (B, N).
        tokens_per_unit: number of tokens in one unit of time, so that a distance means the same in texts of any length.
    """
    steps = torch.arange(values.shape[1], dtype=torch.float32, device=values.device)
    positions = torch.zeros(*values.shape[:2], len(AXES), device=values.device)
    positions[..., AXES.index("t")] = (steps + 0.5) / tokens_per_unit
    weights = mask / mask.sum(1, keepdim=True)
    return Field(values.masked_fill(~mask.unsqueeze(-1), 0.0), positions, weights)
