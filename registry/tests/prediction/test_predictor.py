from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError, DataError
from itnet_registry import Predictor


def record(values: list[float]) -> Any:
    return {"values": pytest.approx(values, rel=1e-4, abs=1e-5)}


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_predict_what_single_values_do_in_order(predictor: Predictor, batch_size: int) -> None:
    shuffled = [[float(n)] * random.Random(n).randint(1, 4) for n in range(30)]
    found = list(predictor.predict(shuffled, batch_size=batch_size))
    assert [one.name for one in found] == [f"input {number}" for number in range(30)]
    for value, one in zip(shuffled, found, strict=True):
        assert one.record == record(predictor(value)["values"])


def test_samples_of_one_size_share_a_batch(predictor: Predictor) -> None:
    task: Any = predictor.task
    list(predictor.predict([[1], [1, 2]] * 8, batch_size=8))
    assert task.batches == [8, 8]
    task.batches.clear()
    list(predictor.predict([[1], [1, 2]] * 8, batch_size=5))
    assert sorted(task.batches) == [3, 3, 5, 5]


def test_sizes_are_mixed_where_the_task_allows_it(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    task: Any = predictor.task
    monkeypatch.setattr(type(task), "mixes_sizes", True)
    monkeypatch.setattr(type(predictor), "describe", lambda self, samples: [{"batch": len(samples)} for _ in samples])
    found = predictor.predict([[1], [1, 2], [1, 2, 3], [4]], batch_size=2)
    assert [one.record for one in found] == [{"batch": 2}] * 4


def test_a_bad_value_stops_no_other(predictor: Predictor) -> None:
    found = list(predictor.predict([[1.0], "seven.num", object(), [2.0]]))
    assert [one.record is None for one in found] == [False, True, True, False]
    assert found[1].error == "DataError: seven.num: found no such file; expected numbers."
    assert "expected numbers" in str(found[2].error)


def test_a_sample_that_the_model_cannot_take_fails_alone(predictor: Predictor) -> None:
    found = list(predictor.predict([[1.0, 2.0], [torch.nan, 1.0], [2.0, 3.0]]))
    good = predictor([1.0, 2.0])
    assert found[0].record == record(good["values"])
    assert found[2].record is not None


def test_one_value_raises_its_error(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="none.num: found no such file"):
        predictor("none.num")


def test_several_values_are_for_predict(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="Pass several inputs to predict"):
        predictor(["none.num", "7.num"])


def test_a_string_is_a_text_where_the_task_reads_texts(words: Predictor, tmp_path: Path) -> None:
    file = tmp_path / "1.num"
    file.write_text("1 2 3")
    assert len(words("1 2")["values"]) == 2
    assert len(words(file)["values"]) == 3
    with pytest.raises(DataError, match="expected numbers"):
        words(str(file))


def test_values_are_read_as_they_are_predicted(predictor: Predictor) -> None:
    taken = []

    def stream() -> Any:
        for number in range(1000):
            taken.append(number)
            yield [number]

    next(iter(predictor.predict(stream(), batch_size=2)))
    assert len(taken) < 20


@pytest.mark.parametrize("device", ["nonsense", "meta"])
def test_an_unknown_device_is_refused(predictor: Predictor, device: str) -> None:
    with pytest.raises(ConfigError, match="--device"):
        Predictor(predictor.model, predictor.task, device=device)


def test_auto_is_a_device_of_this_machine(predictor: Predictor) -> None:
    found = Predictor(predictor.model, predictor.task, device="auto").device
    assert found.type == (
        "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    )
