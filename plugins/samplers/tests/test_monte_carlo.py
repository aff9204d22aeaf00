"""Monte Carlo converges to `full` at the rate M^(−1/2), and a learned p beats uniform (docs/operator.md, §5)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import ConfigError, Field, IntegralOperator, MLPKernel, ShapeError, auxiliary_losses
from itnet_samplers.monte_carlo import MonteCarloSampler
from itnet_testing.fields import scattered, with_padding

DIM = 8
UNIFORM: dict[str, Any] = {"proposal": "uniform", "method": "independent"}


def operator(kernel: dict[str, Any] | None = None, **options: Any) -> IntegralOperator:
    torch.manual_seed(0)
    made = MLPKernel(DIM, heads=2, hidden=4, rank=4, activation="tanh", **(kernel or {}))
    full = IntegralOperator(DIM, made, pointwise=False).double()
    full.sampler = MonteCarloSampler(DIM, **options).double()
    return full


def exact(sampled: IntegralOperator, query: Field, key: Field) -> Tensor:
    sampler, sampled.sampler = sampled.sampler, MonteCarloSampler(DIM, points=10**6)
    try:
        with torch.no_grad():
            return sampled(query, key).values
    finally:
        sampled.sampler = sampler


def errors(sampled: IntegralOperator, field: Field, draws: int) -> Tensor:
    """Return how far draws lie from the integral over all points, at 20 of them: (draws, B, 20, d)."""
    query = Field(field.values[:, :20], field.positions[:, :20])
    torch.manual_seed(1)
    with torch.no_grad():
        return torch.stack([sampled(query, field).values for _ in range(draws)]) - exact(sampled, query, field)


def heavy(points: int = 400, few: int = 8) -> Field:
    """A field of which a few points, at a place of their own, have large values."""
    field = scattered(1, points, DIM, seed=5).to(torch.float64)
    values, positions = 0.1 * field.values, field.positions.clone()
    values[:, :few] += 10 * torch.randn(DIM, generator=torch.Generator().manual_seed(1))
    positions[:, :few] = 0.9 + 0.02 * positions[:, :few]
    return Field(values, positions)


@pytest.mark.parametrize("options", [{}, UNIFORM, {"per_query": True}])
def test_the_mean_over_draws_is_full(options: dict[str, Any]) -> None:
    off = errors(operator(points=10, **options), scattered(2, 60, DIM).to(torch.float64), 300)
    assert off.std() > 1e-3
    assert (off.mean(0).abs() < 5 * off.std(0) / 300**0.5).all()


@pytest.mark.parametrize("kernel", [{}, {"normalization": "softmax"}], ids=["none", "softmax"])
@pytest.mark.parametrize("method", ["independent", "priority"])
def test_the_error_falls_as_the_root_of_the_draws(kernel: dict[str, Any], method: str) -> None:
    """16 times as many draws: a quarter of the error."""
    field = scattered(1, 6000, DIM).to(torch.float64)
    few, many = (errors(operator(kernel, points=m, method=method), field, 24).square().mean().sqrt() for m in (20, 320))
    assert 3 < few / many < 5.5


def test_softmax_is_consistent() -> None:
    """Its bias falls faster than its error, so that the mean of the errors is small beside it."""
    field = scattered(1, 500, DIM).to(torch.float64)
    off = errors(operator({"normalization": "softmax"}, points=60, method="independent"), field, 400)
    assert off.mean(0).square().mean().sqrt() < 0.15 * off.square().mean().sqrt()


def test_a_systematic_draw_of_a_smooth_field_has_less_variance() -> None:
    """On a grid in row-major order all draws would fall in one column, were it not for the curve."""
    u = torch.stack([torch.sin((k + 1) * torch.linspace(0, 1, 32)) for k in range(DIM)], dim=-1).to(torch.float64)
    field = Field.on_grid((u.unsqueeze(0) + u.unsqueeze(1)).unsqueeze(0), axes="yx")
    spread = {
        method: errors(operator({"frequency_scale": 0.2}, points=64, method=method), field, 60).square().mean()
        for method in ("independent", "stratified", "systematic")
    }
    assert spread["stratified"] < 0.5 * spread["independent"]
    assert spread["systematic"] < 0.5 * spread["independent"]


def test_a_learned_proposal_halves_the_variance_on_a_field_with_heavy_points() -> None:
    field, learned = heavy(), operator(points=16, proposal="learned", method="independent")
    before = errors(operator(points=16, **UNIFORM), field, 100).square().mean()
    parameters = list(learned.sampler.parameters())
    optimizer = torch.optim.Adam(parameters, lr=0.03)
    torch.manual_seed(2)
    for _ in range(100):
        with auxiliary_losses() as losses:
            result = learned(field)
        assert not torch.autograd.grad(result.values.sum(), parameters, retain_graph=True, allow_unused=True)[0]
        optimizer.zero_grad()
        losses[0].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    after = errors(learned, field, 100).square().mean()
    assert after < before / 4
    assert errors(learned, field, 100).mean(0).square().mean() < after / 20  # and is unbiased still


def test_nobody_pays_for_a_loss_that_nobody_collects() -> None:
    learned = operator(points=6, proposal="learned")
    field = scattered(2, 20, DIM).to(torch.float64)
    assert learned(field).values.isfinite().all()
    with auxiliary_losses() as losses:
        learned(field)
    assert [loss.shape for loss in losses] == [()]
    with auxiliary_losses() as losses:
        operator(points=6)(field)
        operator(points=20, proposal="learned")(field)  # every point
    assert losses == []


def test_padding_is_never_drawn() -> None:
    field = with_padding(scattered(2, 20, DIM).to(torch.float64), points=200)
    choices: tuple[dict[str, Any], ...] = (
        {},
        {"proposal": "uniform", "method": "independent"},
        {"proposal": "learned", "method": "priority"},
    )
    for options in choices:
        sampler = MonteCarloSampler(DIM, points=12, **options).double()
        for _ in range(20):
            nodes: Any = sampler(field, field)
            assert (nodes.indices[nodes.weights > 0] < 20).all()
            assert (nodes.weights > 0).all()


def test_training_draws_by_the_seed_and_evaluation_always_the_same() -> None:
    sampler, field = MonteCarloSampler(DIM, points=6), scattered(3, 40, DIM)

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        actual: Any = sampler(field, field)
        return actual.indices

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    sampler.eval()
    assert torch.equal(drawn(0), drawn(1))
    other = MonteCarloSampler(DIM, points=6, seed=1).eval()
    assert not torch.equal(other(field, field).indices, drawn(0))
    sampler = MonteCarloSampler(DIM, points=6, fresh=True).eval()
    assert not torch.equal(drawn(0), drawn(1))


def test_draws_by_the_measure_keep_the_mass_each_time() -> None:
    field = scattered(2, 200, DIM)
    for method in ("independent", "stratified"):
        nodes: Any = MonteCarloSampler(DIM, points=9, method=method)(field, field)
        torch.testing.assert_close(nodes.weights.sum(-1), field.weights.sum(-1))


def test_the_measures_own_share_bounds_the_weights() -> None:
    field = scattered(1, 200, DIM)
    sampler = MonteCarloSampler(DIM, points=10, proposal="learned", method="independent", defensive=0.2)
    with torch.no_grad():
        sampler.density.last.weight.fill_(100.0)  # type: ignore[union-attr]
        for _ in range(20):
            nodes: Any = sampler(field, field)
            assert nodes.weights.max() <= field.weights.sum() / (0.2 * 10) * 1.001


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "priority", "per_query": True}, ConfigError, "a number for every pair"),
        ({"proposal": "channel", "defensive": 0}, ConfigError, "never be drawn"),
        ({"proposal": "channel", "channel": 8}, ShapeError, "less than dim = 8"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MonteCarloSampler(DIM, **options)


def test_positions_of_other_coordinates_are_refused_by_a_learned_proposal() -> None:
    field = Field(torch.randn(1, 20, DIM), torch.rand(1, 20, 2))
    with pytest.raises(ShapeError, match="position_dim = 4"):
        MonteCarloSampler(DIM, points=5, proposal="learned")(field, field)
