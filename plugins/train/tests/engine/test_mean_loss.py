from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from itnet_train.engine.mean_loss import MeanLoss

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(sizes=SIZES)
def test_it_is_the_mean_over_all_samples(sizes: list[int]) -> None:
    losses = torch.rand(sum(sizes))
    metric = MeanLoss()
    for batch in torch.split(losses, sizes):
        metric.update(batch.mean(), len(batch))
    torch.testing.assert_close(metric.compute(), losses.mean())


def test_it_is_not_finite_if_a_batch_is_not() -> None:
    metric = MeanLoss()
    metric.update(torch.tensor(1.0), 3)
    metric.update(torch.tensor(torch.nan), 1)
    assert metric.compute().isnan()


def test_it_goes_on_from_its_sums() -> None:
    metric, other = MeanLoss(), MeanLoss()
    metric.update(torch.tensor(2.0), 3)
    other.restore(metric.total, metric.samples)
    other.update(torch.tensor(6.0), 1)
    assert float(other.compute()) == 3.0
