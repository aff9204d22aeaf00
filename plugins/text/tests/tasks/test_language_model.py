from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import log
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
import torch

from itnet_core import ConfigError, DataError, ShapeError, Split
from itnet_registry import create_model
from itnet_tasks import SkippedSampleWarning
from itnet_testing import TaskConformance
from itnet_text.tasks.language_model import LanguageModel
from itnet_text.texts import TokenBatch

CAUSAL: Mapping[str, Any] = {"support": {"causal": "t"}}
WORDS = ["a", "fine", "dull", "film", "plot", "of", "in", "is", "was", "Æsop", "don't"]


def sentences(count: int) -> list[str]:
    random = Random(0)
    return [f"{number}: {' '.join(random.choices(WORDS, k=9))}" for number in range(count)]


@pytest.fixture
def book(write: Callable[..., Path]) -> str:
    """Sixty paragraphs."""
    return str(write("book.txt", "\n\n".join(sentences(60))))


def stretches(task: LanguageModel, split: Split) -> list[Any]:
    dataset = task.dataset(split)
    return [dataset[index] for index in range(len(dataset))]


def read(task: LanguageModel, split: Split) -> str:
    """Return the text of a split, from its stretches of bytes."""
    samples = stretches(task, split)
    tokens = [samples[0].inputs[0].item(), *torch.cat([sample.label for sample in samples]).tolist()]
    return bytes(tokens).decode(errors="ignore")


def model(kernel: Mapping[str, Any], **options: Any) -> Callable[[Any], torch.Tensor]:
    torch.manual_seed(0)
    task = {"name": "language-model", "train": "book.txt"}
    encoder = {"name": "token", **options.pop("encoder", {})}
    built = create_model("itnet-nano", width=16, depth=2, encoder=encoder, task=task, kernel=kernel, **options)
    return partial(built.eval(), modality="text")


def check(task: LanguageModel, predict: Callable[[Any], torch.Tensor]) -> None:
    with torch.no_grad():
        task.check_model(predict)


@pytest.mark.parametrize("length", [2, 17, 64])
def test_the_target_is_the_next_token(book: str, length: int) -> None:
    task = LanguageModel(train=book, length=length)
    for split in get_args(Split):
        samples = stretches(task, split)
        for inputs, label in samples:
            assert len(inputs) == len(label) == length
            assert torch.equal(inputs[1:], label[:-1])
        for (_, label), (inputs, _) in pairwise(samples):
            assert inputs[0] == label[-1]


def test_every_text_is_in_one_split_but_for_the_ends(book: str) -> None:
    task = LanguageModel(train=book, length=8)
    parts = {split: read(task, split).split("\n\n") for split in get_args(Split)}
    assert sum(map(len, parts.values())) == 60
    for texts in parts.values():  # the remainder of a split's last text is left out
        assert set(texts[:-1]) < set(sentences(60))
        assert texts[:-1] == sorted(texts[:-1], key=lambda text: int(text.split(":")[0]))
    numbers = [{text.split(":")[0] for text in texts} for texts in parts.values()]
    assert sum(map(len, numbers)) == len(set.union(*numbers)) == 60


def test_equal_texts_are_in_one_split(write: Callable[..., Path]) -> None:
    path = write("twice.txt", "\n\n".join(sentences(30) * 2))
    found = [
        set(re.findall(r"^\d+:", read(LanguageModel(train=str(path), length=8), split), re.M))
        for split in get_args(Split)
    ]
    assert len(set.union(*found)) == sum(map(len, found)) == 30


def test_the_seed_chooses_the_validation_texts_but_not_the_test_texts(book: str) -> None:
    first, second = (LanguageModel(train=book, length=8, seed=seed) for seed in (0, 1))
    assert read(first, "test") == read(second, "test")
    assert read(first, "validation") != read(second, "validation")
    other = LanguageModel(train=book, length=8, test_fold=1)
    assert read(other, "test") != read(first, "test")


def test_files_of_their_own_for_validation_and_test(write: Callable[..., Path], book: str) -> None:
    options: dict[str, Any] = {name: str(write(f"{name}.txt", f"{name} " * 9)) for name in ("validation_file", "test")}
    task = LanguageModel(train=book, length=8, **options)
    assert read(task, "test").split()[0] == "test"
    assert read(task, "validation").split()[0] == "validation_file"
    assert read(task, "train").count("\n\n") == 59


def test_columns_and_folders_hold_the_same_texts_as_a_file(write: Callable[..., Path], book: str) -> None:
    lines = sentences(60)
    write("folder/1.txt", "\r\n\r\n \r\n".join(lines[:20]))
    write("folder/2.txt", "\n\n\n".join(lines[20:]))
    write("folder/skipped.json", "{}")
    folder = str(write("folder/3.csv", "no plain text").parent)
    write("tables/1.csv", "\n".join(["words,number", *(f'"{line}",7' for line in lines[:20])]))
    table = write("tables/2.jsonl", "\n".join(json.dumps({"words": line}) for line in lines[20:]))
    numbered = write("numbered.tsv", "\n".join(f"7\t{line}" for line in lines))
    for split in get_args(Split):
        text = read(LanguageModel(train=book, length=2), split)
        assert read(LanguageModel(train=folder, length=2), split) == text
        rows = read(LanguageModel(train=str(table.parent), text="words", length=2), split)
        assert rows == read(LanguageModel(train=str(numbered), header=False, text=1, length=2), split)
        assert abs(len(rows) + rows.count("\n") - len(text)) <= 2  # joined by one newline instead of two


def test_training_samples_are_stretches_and_leave_the_other_splits(book: str) -> None:
    whole, part = LanguageModel(train=book, length=8), LanguageModel(train=book, length=8, training_samples=7)
    assert len(part.dataset("train")) == 7
    for split in ("validation", "test"):
        assert read(whole, split) == read(part, split)


def test_a_tokenizer_sets_tokens_head_and_encoder(book: str, tokenizer: dict[str, Any], write: Any) -> None:
    path = write("tokenizer.json", json.dumps(tokenizer))
    task = LanguageModel(train=book, tokenizer=str(path), length=8)
    built = create_model(
        "itnet-nano",
        depth=1,
        encoder="token",
        kernel={"name": "mlp", **CAUSAL},
        task={"name": "language-model", **task.config.model_dump()},
    )
    batch = task.collate(stretches(task, "test")[:3])
    assert len(built.state_dict()["encoders.text.embedding.weight"]) == task.head["outputs"] > 256
    assert built(batch.inputs).shape == (3, 8, task.head["outputs"])
    assert task.loss(built(batch.inputs), batch.targets).isfinite()
    [record] = task.describe(10 * torch.eye(task.head["outputs"])[batch.targets[:1]])
    assert record["token"] in tokenizer["model"]["vocab"]


def test_the_loss_of_a_uniform_prediction(book: str) -> None:
    task = LanguageModel(train=book, length=8)
    batch = task.collate(stretches(task, "test")[:3])
    assert task.loss(torch.zeros(3, 8, 256), batch.targets).item() == pytest.approx(log(256))


def test_the_description_is_of_the_last_token(book: str) -> None:
    prediction = torch.zeros(2, 3, 256)
    prediction[0, -1, ord("e")] = prediction[1, -1, 0xC3] = 9.0
    first, second = LanguageModel(train=book).describe(prediction)
    assert (first["token"], second["token"]) == ("e", "\\xc3")
    assert len(first["likeliest"]) == 5
    assert first["likeliest"]["e"] == first["probability"] > 0.9


def test_a_file_is_read_to_its_last_tokens(book: str, write: Callable[..., Path]) -> None:
    task = LanguageModel(train=book, length=8)
    samples = [task.read(write(f"{text}.txt", text + "\n")) for text in ("It is a fine ", "dull")]
    assert [bytes(inputs.tolist()) for inputs, _ in samples] == [b" a fine ", b"dull"]
    batch = task.collate(samples)
    assert bytes(batch.inputs.ids[0].tolist()) == b"ine "
    assert batch.targets is None


@pytest.mark.parametrize(
    "kernel",
    [
        {"name": "mlp", **CAUSAL},
        {"name": "mlp", "sampler": {"name": "monte-carlo", "points": 4}, **CAUSAL},
        {"name": "attention", **CAUSAL},
        {"name": "gru"},
        {"name": "s4"},
    ],
    ids=str,
)
def test_a_causal_model_passes(book: str, kernel: dict[str, Any]) -> None:
    options = {"sampler": kernel.pop("sampler")} if "sampler" in kernel else {}
    for length in (2, 3, 40):
        check(LanguageModel(train=book, length=length), model(kernel, **options))


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ({"name": "mlp"}, {}),
        ({"name": "attention"}, {}),
        ({"name": "mlp", "support": {"window": 0.2}}, {}),
        ({"name": "mlp", **CAUSAL}, {"encoder": {"window": 3}}),
        ({"name": "mlp", **CAUSAL}, {"sampler": {"name": "landmarks", "count": 1}}),
        ({"name": "sum", "kernels": [{"name": "attention", **CAUSAL}, {"name": "skeleton"}]}, {}),
    ],
    ids=str,
)
def test_a_model_that_sees_later_tokens_is_refused(book: str, kernel: Any, options: dict[str, Any]) -> None:
    for length in (3, 40):
        with pytest.raises(ConfigError, match=r"model: found predictions that depend on later .*causal: t"):
            check(LanguageModel(train=book, length=length), model(kernel, **options))


def test_a_single_copied_token_is_found_anywhere_in_the_middle(book: str) -> None:
    def copy(inputs: TokenBatch) -> torch.Tensor:
        return torch.nn.functional.one_hot(inputs.ids.roll(-1, 1), 256).float()

    with pytest.raises(ConfigError, match=r"\(by 1;"):
        check(LanguageModel(train=book), copy)


def test_the_check_leaves_the_random_numbers(book: str) -> None:
    state = torch.get_rng_state()
    check(LanguageModel(train=book, length=8), lambda inputs: torch.rand(1, 8, 256))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_prediction_of_another_shape_is_refused(book: str) -> None:
    task, targets = LanguageModel(train=book, length=8), torch.zeros(2, 8, dtype=torch.int64)
    for shape in ((2, 8, 300), (2, 4, 256), (2, 256)):
        with pytest.raises(ShapeError, match=r"LanguageModel.loss\(prediction\).*256 tokens .*\(2, 8, 256\)"):
            task.loss(torch.zeros(shape), targets)
    with pytest.raises(ShapeError, match=r"check_model\(predict\)"):
        check(task, lambda inputs: torch.zeros(1, 4, 256))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "found no text"),
        ("\n \n\n", "found no text"),
        ("one paragraph alone " * 50, r"dataset\('train'\): found 0 tokens in 0 texts"),
        ("\n\n".join(["short"] * 9 + ["brief"]), r"found \d+ tokens in \d texts; expected more than 256"),
        (b"a fine film\n\nun film \xe9trange", "bad.txt, line 3: found bytes that are not utf-8"),
    ],
)
def test_bad_text_is_refused(write: Callable[..., Path], content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        LanguageModel(train=str(write("bad.txt", content))).dataset("train")


def test_missing_files_and_columns_are_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: found no text"):
        LanguageModel(train=str(tmp_path / "empty")).dataset("train")
    with pytest.raises(DataError, match=r"missing.txt: found No such file"):
        LanguageModel(train=str(tmp_path / "missing.txt")).dataset("train")
    table = str(write("table.csv", "a,b\n1,2"))
    with pytest.raises(DataError, match="no column 'text'; expected one of 'a', 'b'"):
        LanguageModel(train=table, text="text").dataset("train")
    with pytest.raises(ConfigError, match=r"LanguageModel.length"):
        LanguageModel(train=table, length=1)


def test_a_bad_row_is_refused_or_skipped(write: Callable[..., Path]) -> None:
    rows = [json.dumps({"text": text}) for text in [*sentences(40), 7]]
    path = str(write("rows.jsonl", "\n".join(rows)))
    with pytest.raises(DataError, match=r"rows.jsonl, line 41: found 7 in column 'text'.*on_bad_sample: skip"):
        LanguageModel(train=path, text="text", length=8).dataset("train")
    with pytest.warns(SkippedSampleWarning, match="line 41"):
        assert len(LanguageModel(train=path, text="text", length=8, on_bad_sample="skip").dataset("train"))


class TestLanguageModel(TaskConformance):
    component = "itnet-text/language-model"
    encoder = "itnet-text/token"

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        (folder / "book.txt").write_text("\n\n".join(sentences(60)))
        return {"train": str(folder / "book.txt"), "length": 16}

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return ["It is a film", {"text": "It is a film", "stars": 3}]

    def user_file(self, folder: Path) -> Path:
        (folder / "mine.txt").write_text("It is a film")
        return folder / "mine.txt"
