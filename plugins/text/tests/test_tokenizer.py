from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers
from tokenizers.decoders import ByteLevel
from tokenizers.processors import TemplateProcessing

from itnet_core import ShapeError
from itnet_text.encoders.token import TokenEncoder
from itnet_text.tokenizer import load_tokenizer, tokenize, train_tokenizer, vocabulary_size

CHARACTERS = st.characters(exclude_categories=["Cs"])


@given(st.text(CHARACTERS, min_size=1))
def test_bytes_hold_any_unicode(text: str) -> None:
    [tokens] = tokenize(None, [(text,)], 10_000)
    assert bytes(tokens.ids).decode() == text
    assert tokens.segments == [0] * len(tokens.ids)


@given(st.text(CHARACTERS, min_size=1).filter(str.strip))
def test_a_trained_tokenizer_has_tokens_for_everything(text: str) -> None:
    tokenizer = train_tokenizer(["a fine film"], 260)
    [tokens] = tokenize(tokenizer, [(text,)], 10_000)
    said = ByteLevel().decode([tokenizer.id_to_token(number) for number in tokens.ids])  # type: ignore[misc]
    assert said.removeprefix(" ") == tokenizer.normalizer.normalize_str(text).removeprefix(" ")


@pytest.mark.parametrize("trained", [False, True], ids=["bytes", "trained"])
@pytest.mark.parametrize(
    ("lengths", "kept"),
    [((3, 2), (3, 2)), ((20, 3), (6, 3)), ((3, 20), (3, 6)), ((20, 20), None), ((9, 1), (8, 1))],
)
def test_of_a_pair_the_longer_part_gives_way(
    trained: bool, lengths: tuple[int, int], kept: tuple[int, int] | None
) -> None:
    tokenizer = load_tokenizer(single_characters()) if trained else None
    pair = ("x" * lengths[0], "y" * lengths[1])
    [tokens] = tokenize(tokenizer, [pair], 9)
    actual = tokens.segments.count(0), tokens.segments.count(1)
    assert tokens.segments == sorted(tokens.segments)
    assert actual == kept if kept else sorted(actual) == [4, 5]


def single_characters() -> dict[str, Any]:
    """The content of a tokenizer with a token a character."""
    tokenizer = train_tokenizer(["a"], 257)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    return content


@pytest.mark.parametrize("trained", [False, True], ids=["bytes", "trained"])
def test_of_a_text_the_start_is_kept(trained: bool) -> None:
    tokenizer = load_tokenizer(single_characters()) if trained else None
    [whole], [short] = (tokenize(tokenizer, [("abcdefgh",)], length) for length in (8, 3))
    assert short.ids == whole.ids[:3]
    assert len(whole.ids) == 8


@pytest.mark.parametrize("pair", [("abc",), ("abc", "defg")])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_max_length_holds_with_the_marks_that_a_tokenizer_adds(length: int, pair: tuple[str, ...]) -> None:
    tokenizer = load_tokenizer(single_characters())
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    marks = [(mark, tokenizer.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", marks)
    [tokens] = tokenize(tokenizer, [pair], length)
    assert len(tokens.ids) == len(tokens.segments) == length


def test_padding_and_truncation_of_the_file_do_not_count(tokenizer: dict[str, Any]) -> None:
    loaded = load_tokenizer(tokenizer)
    loaded.enable_padding(length=50)
    loaded.enable_truncation(2)
    content = json.loads(loaded.to_str())
    text = [("what a dull film",)]
    assert tokenize(load_tokenizer(content), text, 64) == tokenize(load_tokenizer(tokenizer), text, 64)


def test_a_tokenizer_is_not_written_to(tokenizer: dict[str, Any]) -> None:
    """Other threads may be using it."""
    text = [("what a dull film",)]
    for loaded in (load_tokenizer(tokenizer), load_tokenizer(tokenizer, 5)):
        before = loaded.to_str()
        [first], [again] = tokenize(loaded, text, 3), tokenize(loaded, text, 5)
        assert (len(first.ids), len(again.ids)) == (3, min(5, len(loaded.encode(*text[0]).ids)))
        assert loaded.to_str() == before


def test_a_text_without_a_token_is_refused(tokenizer: dict[str, Any]) -> None:
    loaded = load_tokenizer(tokenizer)
    loaded.normalizer = normalizers.Replace("\u200b", "")
    loaded.pre_tokenizer = None
    with pytest.raises(ShapeError, match=r"found a text without a token, \('\\u200b',\)"):
        tokenize(loaded, [("film",), ("\u200b",)], 8)


def test_training_learns_what_is_frequent() -> None:
    tokenizer = train_tokenizer(["film film films"] * 9, 265)
    assert tokenizer.encode("Film").tokens == ["Ġfilm"]
    assert 256 < vocabulary_size(json.loads(tokenizer.to_str())) <= 265
    assert vocabulary_size(None) == 256


def test_case_is_told_where_that_is_asked_for() -> None:
    texts = ["Film film"] * 9
    assert train_tokenizer(texts, 280).encode("FILM").ids == train_tokenizer(texts, 280).encode("film").ids
    cased = train_tokenizer(texts, 280, lowercase=False)
    assert cased.encode("Film").ids != cased.encode("film").ids


def test_a_vocabulary_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="vocabulary: found 256; expected more than the 256 bytes"):
        train_tokenizer(["a"], 256)


def test_a_tokenizer_is_read_from_its_file_or_the_folder_with_it(tokenizer: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        assert TokenEncoder.Config(tokenizer=str(path)).completed().tokenizer == tokenizer
