"""Conversion of torch's LSTM, GRU and RNN, and with it the proof that the sum over pairs is theirs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils._pytree import tree_leaves

from itnet_core import DenseEvaluator, Evaluator, TiledEvaluator
from itnet_kernels import ConversionError, convert, convert_model
from itnet_kernels.conversion.recurrent import FieldRecurrent

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
EVALUATORS: dict[str, Evaluator | None] = {
    "fast path": None,
    "dense": DenseEvaluator(),
    "tiled": TiledEvaluator(query_tile=3, key_tile=4),
}


def module(kind: str, dim: int = 5, hidden: int = 4, **options: Any) -> nn.LSTM | nn.GRU | nn.RNN:
    torch.manual_seed(0)
    return KINDS[kind](dim, hidden, **{"batch_first": True, **options}).double()


def on_fields(theirs: nn.LSTM | nn.GRU | nn.RNN, evaluator: str = "fast path") -> FieldRecurrent:
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
    states = [torch.randn(count, batch, hidden, dtype=torch.float64).requires_grad_() for _ in range(2)]
    return tuple(states) if kind == "lstm" else states[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("evaluator", EVALUATORS)
@given(
    sizes=st.tuples(*(st.integers(1, n) for n in (3, 12, 5, 5))),
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
    alone = tuple(state[:, 0] for state in states) if kind == "lstm" else states[:, 0]
    for ours in (convert(theirs), on_fields(theirs)):
        close(ours(x), theirs(x))
        close(ours(x[:, 0]), theirs(x[:, 0]))  # without a batch
        close(ours(x[:, 0], alone), theirs(x[:, 0], alone))
        if kind == "lstm":
            close(ours(x[:, :1], list(states)), theirs(x[:, :1], states))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_shared_inside_a_model(kind: str) -> None:
    theirs: Any = module(kind, num_layers=2, bidirectional=True)
    model: Any = nn.ModuleDict({"recurrence": theirs})
    before = {id(p) for p in model.parameters()}
    report = convert_model(model)
    assert report.converted == {"recurrence": KINDS[kind].__name__}
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


def test_projected_states_are_refused_by_name() -> None:
    with pytest.raises(ConversionError, match="LSTM.proj_size: found 2; expected 0"):
        convert(nn.LSTM(5, 4, proj_size=2))
