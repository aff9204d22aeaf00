from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_core import ConfigError
from itnet_registry import component, create_model, load_model, save_model
from itnet_text.tasks.glue import MNLI, MRPC, QNLI, QQP, RTE, SST2, STSB, WNLI, CoLA
from itnet_text.tasks.glue_average import METRICS


def logits(*classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(classes), 2).float() * 9


def measured(task: Any, *batches: tuple[torch.Tensor, torch.Tensor]) -> dict[str, float]:
    metrics = task.metrics()
    for batch in batches:
        for metric in metrics.values():
            metric.update(*batch)
    return {name: metric.compute().item() for name, metric in metrics.items()}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_the_leaderboards(name: str) -> None:
    task = component("task", f"glue/{name}").load()()
    assert tuple(task.metrics()) == METRICS[name]
    assert task.monitor in METRICS[name]


def test_matthews_correlation_by_hand() -> None:
    """2 true and 1 false positives, 2 true negatives: (2·2 − 1·0) / √(3·2·3·2)."""
    first = logits(1, 1, 0), torch.tensor([1, 0, 0])
    second = logits(0, 1), torch.tensor([0, 1])
    assert measured(CoLA(), first, second) == {"matthews": pytest.approx(4 / 6)}
    assert measured(CoLA(), (logits(1, 1), torch.tensor([0, 1]))) == {"matthews": 0}


@pytest.mark.parametrize("task", [MRPC, QQP])
def test_f1_of_the_equivalent_pairs_by_hand(task: Any) -> None:
    """2 true and 1 false positives, 1 false negative: 2·2 / (2·2 + 1 + 1)."""
    first = logits(1, 1, 0), torch.tensor([1, 0, 1])
    second = logits(0, 1), torch.tensor([0, 1])
    assert measured(task(), first, second) == {"f1": pytest.approx(4 / 6), "accuracy": pytest.approx(3 / 5)}
    assert measured(task(), (logits(0, 0, 1), torch.tensor([0, 0, 0])))["f1"] == 0


def test_correlations_by_hand() -> None:
    """Deviations from the means 2.75 and 3; ranks 1, 2, 3, 4 and 1, 3, 2, 4. The unit does not matter."""
    task = STSB()
    prediction, scores = torch.tensor([[1.0], [2.0], [3.0], [5.0]]), [0.5, 1.5, 1.0, 3.0]
    actual = measured(
        task, (prediction[:2], task.collate_targets(scores[:2])), (prediction[2:], task.collate_targets(scores[2:]))
    )
    assert actual == {
        "pearson": pytest.approx(10 / (8.75 * 14) ** 0.5),
        "spearman": pytest.approx(1 - 6 * 2 / (4 * 15)),
    }


def test_scores_are_learned_in_units_of_their_spread_and_told_in_their_own() -> None:
    task = STSB()
    assert task.collate_targets([2.5, 4.0, 1.0]).tolist() == [0, 1, -1]
    assert task.describe(torch.tensor([[0.0], [1.0]])) == [{"value": 2.5}, {"value": 4.0}]
    assert task.loss(torch.tensor([[1.0], [1.0]]), torch.tensor([1.0, -1.0])).item() == 2
    assert task.head == {"name": "itnet-core/regress", "outputs": 1}


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        (CoLA, ["unacceptable", "acceptable"]),
        (SST2, ["negative", "positive"]),
        (MRPC, ["not_equivalent", "equivalent"]),
        (QQP, ["not_duplicate", "duplicate"]),
        (MNLI, ["entailment", "neutral", "contradiction"]),
        (QNLI, ["entailment", "not_entailment"]),
        (RTE, ["entailment", "not_entailment"]),
        (WNLI, ["not_entailment", "entailment"]),
    ],
)
def test_classes_have_the_hubs_numbers_and_need_no_data(task: Any, labels: list[str]) -> None:
    task = task(root="/no/such/folder")
    assert task.head == {"name": "itnet-core/classify", "classes": len(labels)}
    records = task.describe(torch.eye(len(labels)) * 9)
    assert [record["label"] for record in records] == labels
    json.dumps(records)


@pytest.mark.parametrize(
    ("value", "label"), [("3.750", 3.75), (5, 5.0), ("0", 0.0), ("5.1", None), (-1, None), ("nan", None), ("", None)]
)
def test_a_score_is_a_number_from_0_to_5(value: Any, label: float | None) -> None:
    assert STSB().label(value) == label
    assert STSB().label(None) is None


def test_names_make_a_model_that_learns_and_is_saved(write: Callable[..., Path], tmp_path: Path) -> None:
    lines = [f"{'fine' if label else 'dull'} film {number}\t{label}" for number in range(6) for label in (0, 1)]
    root = write("SST-2/train.tsv", "\n".join(["sentence\tlabel", *lines])).parent
    task = {"name": "glue/sst-2", "root": str(root)}
    model = create_model("itnet-nano", encoder="token", task=task)
    data: Any = SST2(root=str(root))
    samples = data.dataset("train")
    batch = data.collate([samples[i] for i in range(len(samples))])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(5):
        loss = data.loss(model(batch.inputs), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    save_model(model, tmp_path / "model")
    torch.testing.assert_close(load_model(tmp_path / "model")(batch.inputs), model.eval()(batch.inputs))


def test_a_users_files_are_texts_or_pairs(write: Callable[..., Path]) -> None:
    path = write("mine.txt", "a fine film\nfinely played\n")
    assert SST2().read(path) == ("a fine film\nfinely played", None)
    assert RTE().read(path) == (("a fine film", "finely played"), None)


@pytest.mark.parametrize("wrong", [{"validation": 0}, {"label_smoothing": 1}, {"on_bad_sample": "ignore"}, {"fold": 1}])
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"SST2.{next(iter(wrong))}"):
        SST2(**wrong)
