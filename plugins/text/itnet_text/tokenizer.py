"""Tokenizers: read, apply and train them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from itnet_core import ConfigError, ShapeError, read_regular, shown

BYTES = 256

MOST = 2**27
"""Largest size of a file that a configuration includes, in bytes; the largest tokenizers in use have a quarter of this
size."""


def _check(content: dict[str, Any]) -> dict[str, Any]:
    load_tokenizer(content)
    return content


TokenizerOption = Annotated[dict[str, Any], AfterValidator(_check)] | str
"""The content of a Hugging Face `tokenizer.json`, or a path that `completed_tokenizer` replaces by the content."""


def completed_tokenizer(option: TokenizerOption, place: str) -> dict[str, Any]:
    """Return the content of a tokenizer, read from its file or from the file in its folder if `option` is a path.

    Raises:
        ConfigError: the file cannot be read, or contains no tokenizer.
    """
    if isinstance(option, dict):
        return option
    path = Path(option).expanduser()
    path = path / "tokenizer.json" if path.is_dir() else path
    try:
        return _check(json.loads(read_regular(path, MOST)))
    except OSError as error:
        reason = error.strerror or str(error)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = f"no valid JSON ({error})"
    except ValueError as error:
        reason = str(error)
    raise ConfigError(place, found=f"{path}: {reason}", expected="a Hugging Face tokenizer.json")


def tokenizer_content(option: TokenizerOption, place: str) -> dict[str, Any]:
    """Return the content of a tokenizer from a complete configuration.

    Raises:
        ConfigError: `option` is a path. Only `completed` reads files; building a component does not.
    """
    if isinstance(option, dict):
        return option
    hint = "Call config.completed() to read the file."
    raise ConfigError(place, found=shown(option), expected="the content of a tokenizer.json", hint=hint)


class Tokens(NamedTuple):
    """Tokens of a text, or of a pair.

    Attributes:
        ids: token numbers.
        segments: 0 for tokens of the first text, 1 for the second.
    """

    ids: list[int]
    segments: list[int]


def load_tokenizer(content: dict[str, Any], max_length: int | None = None) -> Tokenizer:
    """Build a tokenizer that does not pad, and truncates to `max_length` tokens if that is set.

    Raises:
        ValueError: the content is not that of a tokenizer.
    """
    try:
        tokenizer = Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # the library raises bare exceptions
        raise ValueError(f"not the content of a tokenizer.json: {error}") from None
    tokenizer.no_padding()
    tokenizer.no_truncation() if max_length is None else tokenizer.enable_truncation(max_length)
    return tokenizer


def vocabulary_size(content: dict[str, Any] | None) -> int:
    """Return the size of the vocabulary: 256 bytes without a tokenizer."""
    return BYTES if content is None else load_tokenizer(content).get_vocab_size(with_added_tokens=True)


def token_names(tokenizer: Tokenizer | None, ids: Sequence[int]) -> list[str]:
    """Return each token as text; without a tokenizer, tokens are bytes of UTF-8.

    Example:
        >>> token_names(None, [102, 105])
        ['f', 'i']
    """
    if tokenizer is None:
        return [bytes([number]).decode(errors="replace") for number in ids]
    return [tokenizer.decode([number], skip_special_tokens=False) for number in ids]


def tokenize(tokenizer: Tokenizer | None, texts: Sequence[tuple[str, ...]], max_length: int) -> list[Tokens]:
    """Tokenize texts or pairs of texts; without a tokenizer, into bytes of UTF-8.

    The first `max_length` tokens of a long text are kept; of a long pair, the longer part is cut first.

    Example:
        >>> tokenize(None, [("film",)], max_length=3)
        [Tokens(ids=[102, 105, 108], segments=[0, 0, 0])]

    Raises:
        ShapeError: a text has no token, because the tokenizer drops all its characters, or a word that a tokenizer of
            whole words does not know.
    """
    if tokenizer is None:
        tokens = [_bytes([list(part.encode()) for part in text], max_length) for text in texts]
    else:
        if (tokenizer.truncation or {}).get("max_length") != max_length:  # a copy: other threads may be using it
            tokenizer = load_tokenizer(json.loads(tokenizer.to_str()), max_length)
        try:
            encoded = tokenizer.encode_batch([text if len(text) > 1 else text[0] for text in texts])
        except Exception as error:  # the library raises bare exceptions
            expected = "texts of the tokenizer's vocabulary"
            raise ShapeError("tokenize(texts)", found=f"an error, {error}", expected=expected) from None
        # The library does not truncate if its special tokens leave no room for a text.
        tokens = [Tokens(text.ids[:max_length], text.type_ids[:max_length]) for text in encoded]
    for text, encoding in zip(texts, tokens, strict=True):
        if not encoding.ids:
            raise ShapeError(
                "tokenize(texts)", found=f"a text without a token, {text!r:.60}", expected="at least one token"
            )
    return tokens


def _bytes(parts: list[list[int]], max_length: int) -> Tokens:
    if len(parts) == 2:
        first, second = parts
        least = (max_length + 1) // 2, max_length // 2
        parts = [first[: max(max_length - len(second), least[0])], second[: max(max_length - len(first), least[1])]]
    ids = list(chain(*parts))
    segments = [number for number, part in enumerate(parts) for _ in part]
    return Tokens(ids[:max_length], segments[:max_length])


def word_tokenizer(words: Sequence[str]) -> dict[str, Any]:
    """Return the content of a tokenizer with one token for each word of a fixed vocabulary, between spaces.

    Example:
        >>> load_tokenizer(word_tokenizer(["[MAX", "]", "1", "2"])).encode("[MAX 2 1 ]").ids
        [0, 3, 2, 1]
    """
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=""))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    return content


def train_tokenizer(texts: Iterable[str], vocabulary: int, *, lowercase: bool = True) -> Tokenizer:
    """Train a byte-level byte-pair encoding (BPE), which can tokenize any text.

    Example:
        >>> train_tokenizer(["film film films"] * 9, 265).encode("Film").tokens
        ['Ġfilm']

    Args:
        texts: the training texts.
        vocabulary: largest number of tokens, including the 256 bytes.
        lowercase: convert texts to lower case first.

    Raises:
        ValueError: `vocabulary` leaves no room beyond the bytes.
    """
    if vocabulary <= BYTES:
        raise ValueError(f"vocabulary: found {vocabulary}; expected more than the {BYTES} bytes")
    tokenizer = Tokenizer(models.BPE())
    normal = [normalizers.NFKC(), *([normalizers.Lowercase()] if lowercase else [])]
    tokenizer.normalizer = normalizers.Sequence(normal)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
