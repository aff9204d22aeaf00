from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itnet_core import ConfigError, DataError, Split
from itnet_tasks import SkippedSampleWarning
from itnet_testing import TaskConformance
from itnet_text.tasks.word_order import WordOrder, swap_neighbours

WORDS = ["the", "a", "fine", "dull", "film", "plot", "of", "in", "is", "was", "Paris", "don't", "1999", ",", "."]


@pytest.fixture
def table(write: Callable[..., Path]) -> str:
    """Sixty sentences, some of them of the same words."""
    random = Random(0)
    sentences = {" ".join(["The", *random.sample(WORDS, 8), "fine", "film"]) for _ in range(50)}
    orders = [" ".join(["The", *sorted(sentence.split()[1:])]) for sentence in sorted(sentences)[:10]]
    return str(write("sentences.tsv", "\n".join(["text", *sorted(sentences), *orders])))


def samples(task: WordOrder, split: Split) -> list[Any]:
    dataset = task.dataset(split)
    return [dataset[index] for index in range(len(dataset))]


def test_every_bag_of_words_has_each_label_equally_often_in_one_split(table: str) -> None:
    task = WordOrder(table=table)
    found: dict[str, dict[tuple[str, ...], list[int]]] = {}
    for split in ("train", "validation", "test"):
        for text, label in samples(task, split):
            found.setdefault(split, {}).setdefault(tuple(sorted(text.split())), []).append(label)
        assert all(labels.count(0) == labels.count(1) for labels in found[split].values())
    assert not found["train"].keys() & (found["test"].keys() | found["validation"].keys())
    assert not found["test"].keys() & found["validation"].keys()


@settings(max_examples=200)
@given(words=st.lists(st.sampled_from(WORDS), max_size=12), swaps=st.integers(1, 3), seed=st.integers(0, 9))
def test_a_change_is_of_separate_pairs_of_neighbouring_words(words: list[str], swaps: int, seed: int) -> None:
    changed = swap_neighbours(words, swaps, Random(seed))
    if changed is None:
        return
    places = [place for place, (old, new) in enumerate(zip(words, changed, strict=True)) if old != new]
    assert len(places) == 2 * swaps
    for left, right in zip(places[::2], places[1::2], strict=True):
        assert right == left + 1 > 1
        assert changed[left : left + 2] == [words[right], words[left]]
        assert changed[left].isalpha()
        assert changed[right].isalpha()


def test_there_is_a_change_if_two_words_may_be_swapped() -> None:
    assert swap_neighbours(["It", "is", "dull"], 1, Random(0)) == ["It", "dull", "is"]
    for text in ("It is", "It is is", "It is , dull .", "Is it 1999", ""):
        assert swap_neighbours(text.split(), 1, Random(0)) is None


def test_a_change_depends_on_seed_and_sentence_alone(table: str, write: Callable[..., Path]) -> None:
    lines = Path(table).read_text().split("\n")
    fewer = str(write("fewer.tsv", "\n".join([lines[0], *lines[20:0:-1]])))

    def changes(path: str, seed: int = 0) -> dict[str, str]:
        pairs = WordOrder(table=path, test_folds=2, seed=seed)
        rows = [*pairs.training().sources, *pairs.test().sources]
        return {old.texts[0]: new.texts[0] for old, new in zip(rows[::2], rows[1::2], strict=True)}

    everything, some = changes(table), changes(fewer)
    assert some.items() <= everything.items()
    assert changes(table, seed=1) != everything


def test_a_bad_row_is_refused_or_skipped(table: str, write: Callable[..., Path]) -> None:
    path = str(write("bad.jsonl", '{"text": "It is a fine film"}\n{"text": 7}\n{"text": "It was a dull film"}\n'))
    with pytest.raises(DataError, match=r"bad.jsonl, line 2: found 7 in column 'text'"):
        _ = [samples(WordOrder(table=path, test_folds=2, test_fold=fold), "test") for fold in range(2)]
    for fold in range(2):
        task = WordOrder(table=path, test_folds=2, test_fold=fold, on_bad_sample="skip")
        with pytest.warns(SkippedSampleWarning, match="line 2"):
            assert None in [*samples(task, "test"), *samples(task, "train"), *samples(task, "validation")]


def test_columns_are_those_of_the_table(table: str, write: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="found no column 'sentence'; expected one of 'text'"):
        WordOrder(table=table, text="sentence").dataset("test")
    numbered = str(write("numbered.txt", "1\tIt is a fine film\n2\tIt was a dull film\n"))
    task = WordOrder(table=numbered, header=False, text=1, test_folds=2)
    assert {label for _, label in samples(task, "test")} == {0, 1}
    with pytest.raises(DataError, match="short.tsv: found no rows"):
        WordOrder(table=str(write("short.tsv", "text\ndull\n"))).dataset("test")


@pytest.mark.parametrize("wrong", [{"swaps": 0}, {"test_folds": 1}])
def test_wrong_options_are_refused(wrong: dict[str, Any], table: str) -> None:
    with pytest.raises(ConfigError, match=f"WordOrder.{next(iter(wrong))}"):
        WordOrder(table=table, **wrong)


class TestWordOrder(TaskConformance):
    component = "itnet-text/word-order"
    encoder = "itnet-text/token"

    @pytest.fixture(autouse=True)
    def _files(self, table: str) -> None:
        self.written: Mapping[str, Any] = {"table": table}

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return ["It is a film fine", {"text": "It is a film fine"}]

    def user_file(self, folder: Path) -> Path:
        (folder / "mine.txt").write_text("It is a film fine")
        return folder / "mine.txt"
