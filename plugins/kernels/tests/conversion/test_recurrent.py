"""Conversion of torch's LSTM, GRU, RNN and cells, and with it the proof that the sum over pairs is theirs."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils._pytree import tree_leaves

from itnet_core import DenseEvaluator, Evaluator, TiledEvaluator
from itnet_kernels import convert, convert_model
from itnet_kernels.conversion.recurrent import FieldCell, FieldRecurrent

KINDS: dict[str, Any] = {
    "lstm": nn.LSTM,
    "projected lstm": partial(nn.LSTM, proj_size=2),
    "gru": nn.GRU,
    "rnn": nn.RNN,
    "relu rnn": partial(nn.RNN, nonlinearity="relu"),
}
CELLS: dict[str, Any] = {
    "lstm": nn.LSTMCell,
    "gru": nn.GRUCell,
    "rnn": nn.RNNCell,
    "relu rnn": partial(nn.RNNCell, nonlinearity="relu"),
}
EVALUATORS: dict[str, Evaluator | None] = {
    "fast path": None,
    "dense": DenseEvaluator(),
    "tiled": TiledEvaluator(query_tile=3, key_tile=4),
}


def module(kind: str, dim: int = 5, hidden: int = 4, **options: Any) -> Any:
    torch.manual_seed(0)
    return KINDS[kind](dim, hidden, **{"batch_first": True, **options}).double()


def on_fields(theirs: Any, evaluator: str = "fast path") -> FieldRecurrent:
    """Return the converted module, which goes through the layers on fields even where torch's would do."""
    ours = FieldRecurrent(theirs, EVALUATORS[evaluator])
    ours.steps = False
    return ours


def tensors(results: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(results) if isinstance(leaf, Tensor)]


def close(actual: Any, expected: Any) -> None:
    """Check that tensors differ by at most 1e-9 of the largest number of each."""
    pairs = list(zip(tensors(actual), tensors(expected), strict=True))
    assert pairs
    for mine, theirs in pairs:
        assert mine.shape == theirs.shape
        assert (mine - theirs).abs().max() <= 1e-9 * theirs.abs().max()


def gradients(results: Any, inputs: list[Tensor]) -> list[Tensor]:
    parts = [t.flatten() @ torch.linspace(-1, 1, t.numel(), dtype=t.dtype) for t in tensors(results)]
    return list(torch.autograd.grad(torch.stack(parts).sum(), inputs, retain_graph=True))


def initial(kind: str, count: int, batch: int, hidden: int = 4) -> Any:
    sizes = 2 if kind == "projected lstm" else hidden, hidden
    states = [torch.randn(count, batch, size, dtype=torch.float64).requires_grad_() for size in sizes]
    return tuple(states) if "lstm" in kind else states[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("evaluator", EVALUATORS)
@given(
    sizes=st.tuples(*(st.integers(least, most) for least, most in ((1, 3), (1, 12), (1, 5), (3, 5)))),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    begun=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_the_integral_is_torchs_with_its_gradients(
    kind: str, evaluator: str, sizes: tuple[int, ...], layers: int, bidirectional: bool, bias: bool, begun: bool
) -> None:
    batch, steps, dim, hidden = sizes
    theirs = module(kind, dim, hidden, num_layers=layers, bidirectional=bidirectional, bias=bias)
    ours = on_fields(theirs, evaluator)
    x = torch.randn(batch, steps, dim, dtype=torch.float64).requires_grad_()
    states = initial(kind, layers * (1 + bidirectional), batch, hidden) if begun else None
    actual, expected = ours(x, states), theirs(x, states)
    close(actual, expected)
    leaves = [x, *theirs.parameters(), *(tensors(states) if begun else [])]
    close(gradients(actual, leaves), gradients(expected, leaves))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_packed_sequences_are_padding(kind: str, evaluator: str) -> None:
    theirs = module(kind, num_layers=2, bidirectional=True)
    ours = on_fields(theirs, evaluator)
    sequences = [torch.randn(n, 5, dtype=torch.float64).requires_grad_() for n in (3, 7, 3, 5)]
    packed = pack_sequence(sequences, enforce_sorted=False)
    states = initial(kind, 4, 4)
    actual, expected = ours(packed, states), theirs(packed, states)
    close(actual, expected)
    leaves = [*sequences, *theirs.parameters(), *tensors(states)]
    close(gradients(actual, leaves), gradients(expected, leaves))


@pytest.mark.parametrize("kind", KINDS)
def test_pytorchs_layouts_are_supported(kind: str) -> None:
    theirs = module(kind, batch_first=False, num_layers=2)
    x = torch.randn(6, 3, 5, dtype=torch.float64)
    states = initial(kind, 2, 1)
    alone = tuple(state[:, 0] for state in states) if "lstm" in kind else states[:, 0]
    for ours in (convert(theirs), on_fields(theirs)):
        close(ours(x), theirs(x))
        close(ours(x[:, 0]), theirs(x[:, 0]))  # without a batch
        close(ours(x[:, 0], alone), theirs(x[:, 0], alone))
        if "lstm" in kind:
            close(ours(x[:, :1], list(states)), theirs(x[:, :1], states))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_shared_inside_a_model(kind: str) -> None:
    theirs: Any = module(kind, num_layers=2, bidirectional=True)
    model: Any = nn.ModuleDict({"recurrence": theirs})
    before = {id(p) for p in model.parameters()}
    report = convert_model(model)
    assert report.converted == {"recurrence": type(theirs).__name__}
    assert {id(p) for p in model.parameters()} == before
    with torch.no_grad():
        theirs.weight_hh_l1.mul_(2)
    x = torch.randn(2, 6, 5, dtype=torch.float64)
    model["recurrence"].steps = False
    close(model["recurrence"](x), theirs(x))


def test_dropout_applies_between_layers_in_training() -> None:
    theirs = module("gru", num_layers=2, dropout=1.0)
    ours = on_fields(theirs)
    x = torch.randn(2, 6, 5, dtype=torch.float64)
    close(ours(x), theirs(x))  # all is dropped, so that there is no chance in it
    close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("kind", KINDS)
def test_newtons_method_solves_for_the_same_path(kind: str) -> None:
    theirs, x = module(kind, num_layers=2), torch.randn(2, 12, 5, dtype=torch.float64)
    ours = FieldRecurrent(theirs, solver="newton", tolerance=1e-13)
    close(ours(x), theirs(x))


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_cell_integrates_over_one_more_point(kind: str, bias: bool) -> None:
    torch.manual_seed(0)
    theirs = CELLS[kind](5, 4, bias=bias).double()
    ours, integrals = convert(theirs), []
    assert isinstance(ours, FieldCell)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    x = torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True)
    leaves = [x, *theirs.parameters()]
    expected = theirs(x[2], theirs(x[1], theirs(x[0])))
    for evaluator in (None, DenseEvaluator()):
        operator: Any = ours.template.operators[0]
        operator.evaluator = evaluator or operator.evaluator
        operator.register_forward_hook(lambda *call: integrals.append(call))
        actual = ours(x[2], ours(x[1], ours(x[0])))
        close(actual, expected)
        close(gradients(actual, leaves), gradients(expected, leaves))
        close(ours(x[0, 0]), theirs(x[0, 0]))  # without a batch
    assert integrals
