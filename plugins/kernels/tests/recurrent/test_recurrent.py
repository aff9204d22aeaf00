"""The LSTM's and the GRU's kernels, and the layers composed of them."""

from __future__ import annotations

import logging
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from itnet_core import (
    AutoEvaluator,
    ConfigError,
    DenseEvaluator,
    Evaluator,
    Field,
    FieldError,
    IntegralOperator,
    Nodes,
    Problem,
    Sampler,
    ShapeError,
    TiledEvaluator,
)
from itnet_kernels import GRU, LSTM, GRUKernel, LSTMKernel
from itnet_kernels.numerics.newton import SolverReport
from itnet_kernels.recurrent.recurrent import RecurrentKernel
from itnet_registry import create_model

KERNELS: dict[str, type[RecurrentKernel]] = {"lstm": LSTMKernel, "gru": GRUKernel}
LAYERS: dict[str, type[LSTM] | type[GRU]] = {"lstm": LSTM, "gru": GRU}
both = pytest.mark.parametrize("name", KERNELS)


def line(points: int = 9, batch: int = 2, dim: int = 5) -> Field:
    """Return random values at random times, in order."""
    generator = torch.Generator().manual_seed(points)
    values = torch.randn(batch, points, dim, generator=generator, dtype=torch.float64)
    times = torch.rand(batch, points, 1, generator=generator, dtype=torch.float64).cumsum(1)
    return Field(values, times)


def operator(name: str, evaluator: Evaluator | None = None, sampler: Sampler | None = None, **options: Any) -> Any:
    torch.manual_seed(0)
    kernel = KERNELS[name](5, hidden=4, axis=0, **options)
    return IntegralOperator(5, kernel, sampler, evaluator, out_dim=4, pointwise=False).double()


def at(field: Field, order: Tensor) -> Field:
    return Field(field.values[:, order], field.positions[:, order], field.weights[:, order])


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator()])
def test_the_integral_is_the_cell_state(evaluator: Evaluator) -> None:
    mine, field = operator("lstm", evaluator), line()
    recurrence = mine.kernel.recurrence
    expected = [recurrence(field.values[:, : n + 1])[1][1][0] for n in range(9)]
    close(mine(field).values, torch.stack(expected, dim=1))


@both
@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator()])
def test_query_points_between_key_points_have_the_last_state(name: str, evaluator: Evaluator) -> None:
    mine, field = operator(name, evaluator), line()
    whole = mine(field).values
    middle = (field.positions[:, 1:] + field.positions[:, :-1]) / 2
    times = torch.cat([field.positions[:, :1] - 1, middle, field.positions[:, -1:] + 3], dim=1)
    query = Field(torch.zeros(2, 10, 5, dtype=torch.float64), times)
    actual = mine(query, field).values
    close(actual[:, 0], torch.zeros_like(actual[:, 0]))
    close(actual[:, 1:], whole)


@both
@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator()])
def test_padding_is_not_on_the_path_in_any_order_of_points(name: str, evaluator: Evaluator) -> None:
    mine, field = operator(name, evaluator), line()
    present = torch.tensor([1, 2, 4, 5, 8])
    values, weights = field.values.clone(), torch.zeros_like(field.weights)
    weights[:, present] = 1.0
    values[weights == 0] = torch.nan
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    actual = mine(at(Field(values, field.positions, weights), order)).values[:, order.argsort()]
    close(actual[:, present], mine(at(field, present)).values)


@both
def test_it_is_causal(name: str) -> None:
    field = line()
    for evaluator in (AutoEvaluator(), DenseEvaluator(), TiledEvaluator(query_tile=2, key_tile=2)):
        mine = operator(name, evaluator)
        later = field.values.clone()
        later[:, 6:] += 10
        close(mine(field.with_values(later)).values[:, :6], mine(field).values[:, :6], 1e-12)


@both
def test_two_points_of_one_time_have_no_order(name: str) -> None:
    field = line()
    field.positions[1, 5] = field.positions[1, 2]
    with pytest.raises(FieldError, match="two points of sample 1 at .* on axis 0; expected a different time"):
        operator(name)(field)
    field.weights[1, 5] = 0
    operator(name)(field)


class _SomeTwice(Sampler):
    def forward(self, query: Field, key: Field) -> Nodes:
        indices = torch.tensor([[7, 3, 3, 0, 5], [1, 8, 2, 2, 0]])
        return Nodes(indices, torch.tensor([[0.5, 2, 1, 3, 1], [1, 1, 0.5, 2, 0]], dtype=torch.float64))


@both
def test_nodes_are_summed_along_the_whole_path(name: str) -> None:
    fast, slow = (operator(name, evaluator, _SomeTwice(5)) for evaluator in (AutoEvaluator(), DenseEvaluator()))
    close(fast(line()).values, slow(line()).values)


@both
def test_fractional_weights_scale_the_integral_alone(name: str) -> None:
    class Halved(Sampler):
        def forward(self, query: Field, key: Field) -> Field:
            return Field(key.values, key.positions, key.weights / 2)

    for evaluator in (AutoEvaluator(), DenseEvaluator()):
        close(operator(name, evaluator, Halved(5))(line()).values, operator(name)(line()).values / 2)


@both
def test_gates_near_0_and_near_1_stay_finite_over_16000_points(name: str) -> None:
    """In float32 as in float64: torch's path, the scan, sums over all pairs of some rows, and gradients."""
    steps = 16384
    kernel = operator(name).kernel.float()
    with torch.no_grad():  # a channel that forgets all, two in between, and one that keeps all
        gate = slice(4, 8)  # f of the LSTM's gates, z of the GRU's
        kernel.recurrence.bias_ih_l0[gate] = torch.tensor([-200.0, -8.0, 8.0, 25.0])
    values, times = torch.randn(1, steps, 5, generator=torch.Generator().manual_seed(0)), torch.arange(steps * 1.0)
    rows = torch.tensor([steps - 1, steps // 2, 5])
    inside = times <= times[rows].unsqueeze(-1)
    actual: dict[torch.dtype, tuple[Tensor, ...]] = {}
    for dtype in (torch.float32, torch.float64):
        kernel = kernel.to(dtype)
        field = Field(values.to(dtype), times.view(1, -1, 1), torch.ones(1, steps))
        with torch.no_grad():
            query, key = kernel.project(field, field)
            states, _ = kernel.states(field, field)
            row_sums = (kernel.tile(query[:, rows], key) * inside).sum(-1).transpose(1, 2)
        potential, drive = (term.requires_grad_() for term in key)
        ones = field.values.new_ones(1, steps, 4, 1)
        integral = kernel.integrate(Problem(kernel, field.points, field.points, potential, (potential, drive), ones))
        close(row_sums, integral[:, rows, :, 0], 1e-3 if dtype == torch.float32 else 1e-9)
        if name == "gru":
            close(states, integral[..., 0], 1e-3 if dtype == torch.float32 else 1e-9)
        actual[dtype] = states, integral, row_sums, *torch.autograd.grad(integral.mean(1).sum(), [potential, drive])
    for single, double in zip(*actual.values(), strict=True):
        assert single.isfinite().all()
        # Torch's own path in float32, which the gates read, is about 1e-3 away from that in float64 after so many.
        assert (single.double() - double).abs().max() <= 3e-3 * double.abs().max()


@both
@given(points=st.integers(1, 30), layers=st.integers(1, 2), bidirectional=st.booleans())
@settings(max_examples=10, deadline=None)
def test_newtons_method_gives_the_stepped_layer_and_its_gradients(
    name: str, points: int, layers: int, bidirectional: bool
) -> None:
    options: dict[str, Any] = {"layers": layers, "bidirectional": bidirectional, "axis": 0}
    stepped = LAYERS[name](5, 4, **options).double()
    solved = LAYERS[name](5, 4, **options, solver="newton", tolerance=1e-12).double()
    solved.load_state_dict(stepped.state_dict())
    results, reports = [], list[SolverReport]()
    solve = RecurrentKernel.solve

    def record(kernel: RecurrentKernel, *arguments: Any) -> tuple[Tensor, SolverReport]:
        states, report = solve(kernel, *arguments)
        reports.append(report)
        return states, report

    with patch.object(RecurrentKernel, "solve", record):
        for layer in (stepped, solved):
            field = line(points)
            out = layer(field.with_values(field.values.requires_grad_())).values
            results.append((out, *torch.autograd.grad(out.square().sum(), [field.values, *layer.parameters()])))
    for mine, theirs in zip(*results[::-1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-9)
    assert len(reports) == len(solved.operators)
    assert all(report.converged and report.residual <= 1e-12 for report in reports)


@both
def test_newtons_method_falls_back_to_stepping_with_a_warning(name: str, caplog: Any) -> None:
    stepped, hurried = operator(name), operator(name, solver="newton", max_iterations=1, tolerance=1e-12)
    field = line(40)
    with caplog.at_level(logging.WARNING, logger="itnet_kernels"):
        actual = hurried(field).values
    assert torch.equal(actual, stepped(field).values)
    _, report = hurried.kernel.solve(field.values)
    assert (report.converged, report.iterations) == (False, 1)
    assert "after 1 iterations, over the tolerance 1.0e-12; stepping" in caplog.text


@both
def test_a_stream_continues_a_field(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name](5, 4, layers=2, axis=0).double()
    field = line()
    field.weights[1, 3] = 0.0  # one that is absent, and the last of what is there before
    whole = layer(field).values
    out, states = layer.with_states(at(field, torch.arange(4)))
    steps = [out.values]
    for n in range(4, 9):
        states, one = layer.step(states, at(field, torch.tensor([n])))
        steps.append(one.values)
    close(torch.cat(steps, dim=1)[field.mask], whole[field.mask])


def test_bidirectional_streams_are_refused() -> None:
    with pytest.raises(ConfigError, match="LSTM.step: found bidirectional=True"):
        LSTM(5, bidirectional=True, axis=0).step(None, at(line(), torch.tensor([0])))


def test_other_output_channels_are_refused() -> None:
    with pytest.raises(ShapeError, match="Give the operator out_dim=3, or the kernel hidden=5"):
        IntegralOperator(5, GRUKernel(5, hidden=3))


@both
def test_gradients_reach_all_weights_in_a_model(name: str) -> None:
    torch.manual_seed(0)
    encoder = {"name": "itnet-core/field", "channels": 3}
    model: Any = create_model("itnet-nano", encoder=encoder, kernel=name, head={"name": "classify", "classes": 2})
    field = Field(torch.randn(2, 6, 3), torch.rand(2, 6, 4))
    nn.functional.cross_entropy(model(field), torch.tensor([0, 1])).backward()  # type: ignore[no-untyped-call]
    weights = dict(model.trunk.blocks[0].operator.kernel.named_parameters())
    assert set(weights) == {f"recurrence.{item}_l0" for item in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights.values())


def test_an_axis_that_no_positions_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"LSTMKernel\.axis: found 'q'; expected a letter of txyz"):
        LSTMKernel(5, axis="q")
