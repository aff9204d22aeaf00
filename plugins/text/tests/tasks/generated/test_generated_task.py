"""Properties of all generated tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest

from itnet_core import ConfigError, DataError, ShapeError, Split
from itnet_registry import create, create_model, load_model, save_model
from itnet_testing import TaskConformance

TASKS: dict[str, dict[str, Any]] = {
    "listops": {"min_length": 4, "max_length": 20},
    "associative-recall": {"pairs": 2, "vocabulary": 16, "length": 10},
    "dyck": {"kinds": 2, "max_depth": 5, "min_length": 4, "max_length": 14},
    "agreement": {"attractors": 1},
}
SPLITS: tuple[Split, ...] = get_args(Split)


@pytest.fixture(params=TASKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def samples(name: str, split: Split, count: int, **options: Any) -> list[Any]:
    dataset: Any = create("task", name, **{**TASKS[name], **options}).dataset(split)
    return [dataset[index] for index in range(count)]


def test_a_sample_depends_on_seed_split_and_index_alone(name: str) -> None:
    many = samples(name, "test", 50)
    backwards: Any = create("task", name, **TASKS[name], test_samples=20, training_samples=7).dataset("test")
    assert len(backwards) == 20
    assert [backwards[index] for index in reversed(range(20))] == many[19::-1]
    assert samples(name, "test", 50, seed=1) != many
    assert samples(name, "validation", 50) != many


def test_no_words_of_the_test_split_occur_in_training_in_any_order(name: str) -> None:
    """Options allow few samples, so that independent draws would collide; other seeds do not collide either."""
    bags = {
        split: {tuple(sorted(s.inputs.split())) for s in samples(name, split, 600, seed=seed)}
        for seed, split in enumerate(SPLITS)
    }
    assert not bags["train"] & bags["test"]
    assert not bags["train"] & bags["validation"]
    assert not bags["validation"] & bags["test"]


def test_samples_are_words_of_the_vocabulary_and_of_limited_length(name: str) -> None:
    task: Any = create("task", name, **TASKS[name])
    words = [sample.inputs.split() for sample in samples(name, "train", 300)]
    assert {word for text in words for word in text} == set(task.vocabulary)
    assert max(map(len, words)) == task.longest
    assert len(set(task.vocabulary)) == len(task.vocabulary)


def test_the_encoder_gets_a_token_for_each_word(name: str) -> None:
    task: Any = create("task", name, **TASKS[name])
    model = create_model("itnet-nano", depth=1, encoder="token", task={"name": name, **TASKS[name]})
    text = task.dataset("train")[0].inputs
    encoder: Any = model.encoders["text"]
    assert encoder.tensors([text]).ids.tolist() == [[task.vocabulary.index(word) for word in text.split()]]
    assert encoder.config.max_length == task.longest
    with pytest.raises(ShapeError, match=r"tokenize\(texts\): found an error, .*vocabulary"):
        encoder(["unknown"])


def test_a_checkpoint_contains_the_tokenizer(name: str, tmp_path: Path) -> None:
    model = create_model("itnet-nano", depth=1, encoder="token", task={"name": name, **TASKS[name]})
    save_model(model, tmp_path / "model")
    text = samples(name, "test", 1)[0].inputs
    assert load_model(tmp_path / "model")([text]).equal(model([text]))
    config: Any = model.config
    assert json.loads(json.dumps(config["encoders"]["text"]["tokenizer"]))["model"]["type"] == "WordLevel"


def test_a_file_of_other_words_is_refused(name: str, tmp_path: Path) -> None:
    task: Any = create("task", name, **TASKS[name])
    text = samples(name, "test", 1)[0].inputs
    (tmp_path / "good.txt").write_text(f"  {text.replace(' ', chr(10))}\n")
    assert task.read(tmp_path / "good.txt") == (text, None)
    (tmp_path / "bad.txt").write_text(f"{text} film")
    with pytest.raises(DataError, match=r"bad.txt: found the word 'film'; expected words of the task"):
        task.read(tmp_path / "bad.txt")


def test_an_index_beyond_the_number_of_samples_is_refused(name: str) -> None:
    dataset: Any = create("task", name, **TASKS[name], test_samples=3).dataset("test")
    for index in (3, -1):
        with pytest.raises(IndexError):
            dataset[index]


def test_options_without_samples_are_refused() -> None:
    """Two kinds in balance, and pairs, have an even number of brackets."""
    task: Any = create("task", "dyck", kinds=2, max_depth=3, min_length=9, max_length=9)
    with pytest.raises(ConfigError, match=r"Dyck: found no sample for the test split in \d+ draws"):
        task.dataset("test")[0]


class GeneratedConformance(TaskConformance):
    """The checks of a generated task, with small options."""

    encoder = "itnet-text/token"

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [str(self.batch().inputs[0]), {"text": str(self.batch().inputs[1])}]

    def user_file(self, folder: Path) -> Path:
        (folder / "mine.txt").write_text(str(self.batch().inputs[0]))
        return folder / "mine.txt"


class TestListOps(GeneratedConformance):
    component = "itnet-text/listops"
    options: ClassVar = TASKS["listops"]


class TestAssociativeRecall(GeneratedConformance):
    component = "itnet-text/associative-recall"
    options: ClassVar = TASKS["associative-recall"]


class TestDyck(GeneratedConformance):
    component = "itnet-text/dyck"
    options: ClassVar = TASKS["dyck"]


class TestAgreement(GeneratedConformance):
    component = "itnet-text/agreement"
    options: ClassVar = TASKS["agreement"]
