from __future__ import annotations

import pytest
import torch

from itnet_core import Field, mean
from itnet_vision_language.heads.contrastive import ContrastiveHead


def test_inner_products_are_cosines_over_the_temperature() -> None:
    head = ContrastiveHead(8, outputs=5, temperature=0.2)
    field = Field(torch.randn(4, 3, 8), torch.randn(4, 3, 4))
    out = head(field)
    assert out.shape == (4, 5)
    projected = head.linear(mean(field))
    lengths = projected.norm(dim=-1)
    cosines = projected @ projected.T / torch.outer(lengths, lengths)
    torch.testing.assert_close(out @ out.T, cosines / 0.2)


def test_the_temperature_is_learned_and_never_colder_than_a_hundredth() -> None:
    head = ContrastiveHead(8, outputs=5)
    field = Field(torch.randn(4, 3, 8), torch.randn(4, 3, 4))
    head(field).square().sum().backward()
    assert head.log_temperature.grad is not None
    assert head.log_temperature.grad.abs() > 0
    torch.nn.init.constant_(head.log_temperature, -50)
    assert head(field).norm(dim=-1).max().item() == pytest.approx(10, rel=1e-4)
