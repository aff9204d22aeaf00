from __future__ import annotations

from math import log2

import pytest
import torch
from torch.nn import functional as F

from itnet_text.tasks.token_bits import TokenBits


@pytest.mark.parametrize("vocabulary", [2, 7, 256])
def test_a_uniform_prediction_costs_log2_of_the_vocabulary(vocabulary: int) -> None:
    bits = TokenBits()
    bits.update(torch.full((2, 5, vocabulary), 3.0), torch.randint(vocabulary, (2, 5)))
    assert bits.compute().item() == pytest.approx(log2(vocabulary))


def test_every_token_counts_the_same_whatever_its_batch() -> None:
    torch.manual_seed(0)
    prediction, target = torch.randn(5, 4, 9), torch.randint(9, (5, 4))
    bits = TokenBits()
    for part in (slice(0, 4), slice(4, 5)):
        bits.update(prediction[part], target[part])
    chances = F.one_hot(target, 9).mul(prediction.softmax(-1)).sum(-1)
    torch.testing.assert_close(bits.compute(), -chances.log2().mean())


def test_one_nan_makes_the_mean_nan() -> None:
    bits = TokenBits()
    bits.update(torch.full((1, 2, 3), torch.nan), torch.zeros(1, 2, dtype=torch.int64))
    bits.update(torch.zeros(1, 2, 3), torch.zeros(1, 2, dtype=torch.int64))
    assert bits.compute().isnan()
