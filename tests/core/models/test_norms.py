"""Norms over fields, and stochastic depth."""

from __future__ import annotations

import torch
from torch import nn

from itnet_core import Field
from itnet_core.models.norms import BatchNorm, StochasticDepth, normalized


def padded() -> tuple[Field, torch.Tensor]:
    """Return a field with NaN for padding, and its points that are none."""
    field = Field(
        3 + torch.randn(2, 6, 4).double(), torch.rand(2, 6, 2), torch.tensor([[1.0] * 6, [1.0] * 3 + [0.0] * 3])
    )
    present = field.values[field.mask]
    return field.with_values(field.values.masked_fill(~field.mask.unsqueeze(-1), torch.nan)), present


def test_batch_norm_is_torchs_over_the_points_that_are_not_padding() -> None:
    field, present = padded()
    ours, theirs = BatchNorm(4).double(), nn.BatchNorm1d(4).double()
    for _ in range(2):
        actual = normalized(ours, field).values[field.mask]
        torch.testing.assert_close(actual, theirs(present), rtol=1e-9, atol=1e-9)
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-9, atol=1e-9)
    ours.eval()
    theirs.eval()
    torch.testing.assert_close(normalized(ours, field).values[field.mask], theirs(present), rtol=1e-9, atol=1e-9)


def test_gradients_through_batch_norm_are_torchs_and_none_for_padding() -> None:
    field, present = padded()
    values, present = field.values.requires_grad_(), present.requires_grad_()
    weight = torch.randn(len(present), 4).double()
    torch.autograd.backward((normalized(BatchNorm(4).double(), field).values[field.mask] * weight).sum())
    torch.autograd.backward((nn.BatchNorm1d(4).double()(present) * weight).sum())
    assert values.grad is not None
    assert present.grad is not None
    torch.testing.assert_close(values.grad[field.mask], present.grad, rtol=1e-9, atol=1e-9)
    assert not values.grad[~field.mask].any()


def test_without_padding_both_ways_agree() -> None:
    values = torch.randn(2, 5, 3).double()
    one, other = BatchNorm(3).double(), BatchNorm(3).double()
    torch.testing.assert_close(one(values), other(values, torch.ones(2, 5, dtype=torch.bool)), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(one.running_var, other.running_var, rtol=1e-9, atol=1e-9)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean() -> None:
    drop = StochasticDepth(0.25)
    actual = drop(torch.ones(4000, 2, 3))
    torch.testing.assert_close(actual.unique(), torch.tensor([0.0, 4 / 3]))
    assert torch.equal(actual.amin((1, 2)), actual.amax((1, 2)))
    assert abs(actual.mean() - 1) < 0.05
    assert torch.equal(drop.eval()(torch.ones(3, 2, 3)), torch.ones(3, 2, 3))
