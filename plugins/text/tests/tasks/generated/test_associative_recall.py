from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
import torch

from itnet_core import ConfigError, ShapeError
from itnet_text.tasks.generated.associative_recall import UNASKED, AssociativeRecall


def draws(count: int, **options: Any) -> list[Any]:
    task = AssociativeRecall(**options)
    return [task.generate("train", index)[0] for index in range(count)]


@pytest.mark.parametrize(
    "options", [{}, {"pairs": 3, "queries": 2, "vocabulary": 9, "length": 11}, {"pairs": 4, "power": 1, "length": 16}]
)
def test_the_target_of_a_query_is_the_value_of_its_key(options: dict[str, Any]) -> None:
    task = AssociativeRecall(**options)
    config = task.config
    for text, targets in draws(100, **options):
        words = text.split()
        keys, values = words[: 2 * config.pairs : 2], words[1 : 2 * config.pairs : 2]
        assert len(set(keys)) == len(set(values)) == config.pairs
        value_of = dict(zip(keys, values, strict=True))
        rest = words[2 * config.pairs :]
        assert targets[: 2 * config.pairs] == [UNASKED] * (2 * config.pairs)
        for word, target in zip(rest, targets[2 * config.pairs :], strict=True):
            assert (word == "-") == (target == UNASKED)
            assert word == "-" or value_of[word] == task.values[target]
        asked = [word for word in rest if word != "-"]
        assert len(asked) == len(set(asked)) == (config.queries or config.pairs)
        assert len(words) == config.length


@pytest.mark.parametrize("power", [0.01, 1.0])
def test_gaps_follow_the_power_law(power: float) -> None:
    """With one query, the share of gap g is (g + 1)^(power − 1), up to a constant."""
    places = Counter(
        next(place for place, target in enumerate(targets) if target != UNASKED)
        for _, targets in draws(4000, pairs=2, queries=1, length=16, power=power)
    )
    weights = torch.arange(1.0, 7) ** (power - 1)
    shares = torch.tensor([places[4 + 2 * gap] / 4000 for gap in range(6)])
    assert (shares - weights / weights.sum()).abs().max() < 0.03


def test_the_vocabulary_has_the_size_of_the_option() -> None:
    for size in (18, 19, 64):
        task = AssociativeRecall(vocabulary=size)
        assert len(task.vocabulary) == size
        assert task.head == {"name": "itnet-core/per-point", "outputs": len(task.values)}


def test_only_queries_count() -> None:
    task = AssociativeRecall(pairs=2, vocabulary=12, length=8)
    dataset = task.dataset("test")
    targets = task.collate([dataset[index] for index in range(5)]).targets
    asked = targets != UNASKED
    perfect = torch.randn(5, 8, len(task.values))
    perfect[asked] = 20 * torch.eye(len(task.values))[targets[asked]]
    accuracy = task.metrics()["accuracy"]
    for prediction, share, loss in ((perfect, 1.0, 0.0), (-perfect, 0.0, 20.0)):
        accuracy.update(prediction, targets)
        assert accuracy.compute() == share
        assert abs(task.loss(prediction, targets) - loss) < 2
        accuracy.reset()


def test_a_prediction_at_other_points_is_refused() -> None:
    task = AssociativeRecall()
    with pytest.raises(
        ShapeError, match=r"AssociativeRecall.loss\(prediction\): .*a prediction for each token, \(2, 64\)"
    ):
        task.loss(torch.zeros(2, 32, 32), torch.zeros(2, 64, dtype=torch.long))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"queries": 9}, "queries up to pairs"),
        ({"vocabulary": 17}, "a vocabulary of at least 18"),
        ({"length": 31}, "a length of at least 32"),
        ({"power": 0}, "power"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"AssociativeRecall.*{message}"):
        AssociativeRecall(**wrong)


def test_the_smallest_options_have_samples() -> None:
    task = AssociativeRecall(pairs=1, vocabulary=4, length=4)
    assert task.draw(Random(0))[0].inputs.startswith("k0 v")
