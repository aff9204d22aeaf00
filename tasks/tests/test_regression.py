from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr

from itnet_tasks import Labelled, Regression, Sample


class Ages(Regression):
    """The number is in the source itself."""

    modality = "age"
    centre, scale = 50.0, 25.0

    def training(self) -> Labelled:
        years = torch.linspace(0, 100, 21)
        return Labelled(years.unsqueeze(1), years)

    test = training

    def loader(self, *, training: bool) -> Callable[[Any], Any]:
        return torch.Tensor.float


def test_targets_are_standardised_and_descriptions_are_in_the_datas_unit() -> None:
    task = Ages()
    batch = task.collate([Sample(torch.zeros(1), 75.0), Sample(torch.zeros(1), 25.0)])
    assert batch.targets.tolist() == [1.0, -1.0]
    assert task.describe(batch.targets.unsqueeze(1)) == [{"value": 75.0}, {"value": 25.0}]


def test_the_loss_is_the_mean_squared_error_of_each_sample() -> None:
    prediction, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0])
    assert Ages().loss(prediction, targets) == pytest.approx(2.0)


def test_the_correlations_over_batches() -> None:
    torch.manual_seed(0)
    prediction, targets = torch.randn(30, 1), torch.randn(30)
    metrics = Ages().metrics()
    for metric in metrics.values():
        for part in range(0, 30, 7):
            metric.update(prediction[part : part + 7], targets[part : part + 7])
    both = torch.stack([prediction.squeeze(1), targets])
    assert float(metrics["pearson"].compute()) == pytest.approx(float(both.corrcoef()[0, 1]), abs=1e-5)
    assert float(metrics["spearman"].compute()) == pytest.approx(spearmanr(*both.numpy()).statistic, abs=1e-5)


def test_validation_is_a_part_of_training() -> None:
    task = Ages(validation=0.3, seed=1)
    train, validation = (task.dataset(split).labels for split in ("train", "validation"))
    assert (len(train), len(validation)) == (15, 6)
    assert sorted([*train, *validation]) == torch.linspace(0, 100, 21).tolist()
