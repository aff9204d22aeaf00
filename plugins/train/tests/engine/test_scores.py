from __future__ import annotations

from typing import Any

import pytest

from itnet_train.engine.scores import combine_scores, monitored_score


class Stub:
    """What of a task these functions read."""

    def __init__(self, name: str, mode: str) -> None:
        self.monitor, self.monitor_mode = name, mode


ONE: Any = {"image": Stub("accuracy", "max")}
SEVERAL: Any = {**ONE, "text": Stub("pearson", "max")}
SCORES = {"image": {"loss": 1.0, "accuracy": 0.9}, "text": {"loss": 4.0, "pearson": 0.5, "spearman": 0.4}}


def test_the_scores_of_one_task_are_as_they_are() -> None:
    assert combine_scores({"image": SCORES["image"]}, ONE) == SCORES["image"]
    assert monitored_score(ONE) == ("accuracy", "max")


def test_several_tasks_have_a_mean_loss_and_a_mean_of_what_they_monitor() -> None:
    actual = combine_scores(SCORES, SEVERAL)
    assert actual == pytest.approx(
        {
            "loss": 2.5,
            "score": 0.7,
            "image/loss": 1.0,
            "image/accuracy": 0.9,
            "text/loss": 4.0,
            "text/pearson": 0.5,
            "text/spearman": 0.4,
        }
    )
    assert monitored_score(SEVERAL) == ("score", "max")


def test_where_less_is_better_for_one_of_them_the_loss_decides() -> None:
    tasks = {**SEVERAL, "audio": Stub("error", "min")}
    scores = {**SCORES, "audio": {"loss": 1.0, "error": 0.1}}
    assert monitored_score(tasks) == ("loss", "min")
    assert "score" not in combine_scores(scores, tasks)
