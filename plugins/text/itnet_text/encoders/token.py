"""Encoder of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

import torch
from pydantic import Field as ConfigField
from pydantic import PositiveFloat, PositiveInt, field_validator
from torch import nn

from itnet_core import ComponentConfig, Encoder, Field
from itnet_text.texts import EXAMPLE, Text, TokenBatch, check_texts, text_field
from itnet_text.tokenizer import (
    TokenizerOption,
    completed_tokenizer,
    load_tokenizer,
    tokenize,
    tokenizer_content,
    vocabulary_size,
)


class TokenEncoder(Encoder):
    """A learned vector for each token, at the token's place in time.

    A pair of texts is encoded as one text, with a learned vector added to the tokens of the second. With `window` > 1,
    a convolution over neighbouring tokens follows, like the stem of an image encoder: a single byte carries little
    meaning.

    Example:
        >>> encoder = TokenEncoder(64)
        >>> encoder(["a fine film", ("a film", "it is dull")]).values.shape
        torch.Size([2, 16, 64])
    """

    modality = "text"
    axes = "t"

    class Config(ComponentConfig):
        tokenizer: TokenizerOption | None = None
        """Content of a Hugging Face tokenizer.json, or the path of one, which `completed` reads. By default, tokens are
        the bytes of UTF-8."""

        max_length: PositiveInt = 512
        """Largest number of tokens of a text; longer texts are cut off."""

        tokens_per_unit: PositiveFloat = 8.0
        """Number of tokens in one unit of time."""

        window: PositiveInt = 1
        """Width of the convolution in tokens, an odd number; 1 for no convolution."""

        token_dropout: Annotated[float, ConfigField(ge=0, lt=1)] = 0.0
        """Probability of dropping a token's vector in training."""

        @field_validator("window")
        @classmethod
        def _odd(cls, window: int) -> int:
            if window % 2 == 0:
                raise ValueError("an odd number, so that a token is in the middle")
            return window

        def completed(self) -> Self:
            """Read the tokenizer if it is a path."""
            if not isinstance(self.tokenizer, str):
                return self
            return self.model_copy(update={"tokenizer": completed_tokenizer(self.tokenizer, "TokenEncoder.tokenizer")})

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        option = self.config.tokenizer
        content = None if option is None else tokenizer_content(option, "TokenEncoder.tokenizer")
        self.tokenizer = None if content is None else load_tokenizer(content, self.config.max_length)
        self.embedding = nn.Embedding(vocabulary_size(content), dim)
        # From PyTorch's N(0, 1), the vectors of rare tokens stay noise to the end: see docs/recipes.md.
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.second = nn.Parameter(torch.zeros(dim))
        window = self.config.window
        self.convolution = nn.Conv1d(dim, dim, window, padding=window // 2) if window > 1 else None

    def tensors(self, inputs: Sequence[Text] | TokenBatch) -> TokenBatch:
        """Tokenize texts."""
        if isinstance(inputs, TokenBatch):
            return inputs
        texts = check_texts(inputs, "TokenEncoder(inputs)")
        return TokenBatch.of(tokenize(self.tokenizer, texts, self.config.max_length), self.embedding.weight.device)

    def forward(self, inputs: Sequence[Text] | TokenBatch) -> Field:
        """Encode texts as the field of their tokens.

        Args:
            inputs: B texts, or pairs of texts; or their tokens.

        Returns:
            A field of values (B, longest, dim).

        Raises:
            ShapeError: the inputs are not texts, or one is empty.
        """
        ids, segments, mask = self.tensors(inputs)
        values = self.embedding(ids)
        values = values + segments.unsqueeze(-1) * self.second
        if self.training and self.config.token_dropout:
            values = values * (torch.rand_like(values[..., :1]) >= self.config.token_dropout)
        if self.convolution is not None:
            inside = mask.unsqueeze(-1)  # the convolution must not see values after the end of a text
            values = self.convolution((values * inside).transpose(1, 2)).transpose(1, 2)
        return text_field(values, mask, self.config.tokens_per_unit)

    def labels(self, inputs: Sequence[Text] | TokenBatch) -> list[list[str]]:
        """Return the tokens of each text."""
        return self.tensors(inputs).names(self.tokenizer)

    def example(self) -> list[Text]:
        """Return a text, and a pair of texts."""
        return list(EXAMPLE)
