"""Conversion: the same weights, the same outputs; what is not exact is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from itnet_core import AutoEvaluator, DenseEvaluator, IntegralOperator, Problem, ShapeError
from itnet_kernels import ConversionError, convert, convert_model

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}


def multihead(dim: int, heads: int, **options: Any) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(dim, heads, **{"batch_first": True, **options}).double()
    if module.in_proj_bias is not None:
        nn.init.normal_(module.in_proj_bias)
    return module


@settings(max_examples=40, deadline=None)
@given(
    heads=st.integers(1, 4),
    batch=st.integers(1, 3),
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    batch_first=st.booleans(),
    bias=st.booleans(),
    padding=st.sampled_from([None, "bool", "float"]),
    mask=st.sampled_from([None, "bool", "float", "each head"]),
    average=st.booleans(),
    added=st.sampled_from([{}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 3, "vdim": 5}]),
    value=st.sampled_from(["key", "a view", "another"]),
    by_pairs=st.booleans(),
)
def test_multihead_attention_with_all_its_masks(
    heads: int,
    batch: int,
    sizes: tuple[int, int],
    batch_first: bool,
    bias: bool,
    padding: str | None,
    mask: str | None,
    average: bool,
    added: dict[str, Any],
    value: str,
    by_pairs: bool,
) -> None:
    reference = multihead(2 * heads, heads, bias=bias, batch_first=batch_first, **added)
    queries, keys = sizes
    x = torch.randn(batch, queries, 2 * heads, dtype=torch.float64)
    y, v = (torch.randn(batch, keys, n, dtype=torch.float64) for n in (reference.kdim, reference.vdim))
    absent = torch.rand(batch, keys) < 0.3
    absent[:, 0] = False
    masks: dict[str, Any] = {"average_attn_weights": average}
    if padding is not None:
        masks["key_padding_mask"] = absent if padding == "bool" else torch.randn(batch, keys, dtype=torch.float64)
    if mask == "bool":
        masks["attn_mask"] = torch.rand(queries, keys) < 0.3
        masks["attn_mask"][:, 0] = False
    elif mask is not None:
        shape = (queries, keys) if mask == "float" else (batch * heads, queries, keys)
        masks["attn_mask"] = torch.randn(shape, dtype=torch.float64)
    if not batch_first:
        x, y, v = x.transpose(0, 1), y.transpose(0, 1), v.transpose(0, 1)
    if value != "another" and not added.get("vdim"):
        v = y if value == "key" else y.view_as(y)
    converted: Any = convert(reference)
    if by_pairs:
        converted.operator.evaluator = DenseEvaluator()
    for ours, theirs in zip(converted(x, y, v, **masks), reference(x, y, v, **masks), strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)
    leaves = [*reference.parameters()]
    ours, theirs = (
        torch.autograd.grad(layer(x, y, v, **masks)[0].square().sum(), leaves) for layer in (converted, reference)
    )
    torch.testing.assert_close(ours, theirs, **EXACT)


def test_multihead_attention_without_a_batch_and_without_weights() -> None:
    reference, x = multihead(6, 2), torch.randn(5, 6, dtype=torch.float64)
    actual, weights = convert(reference)(x, x, x, need_weights=False)
    torch.testing.assert_close(actual, reference(x, x, x)[0], **EXACT)
    assert weights is None


@pytest.mark.parametrize("training", [True, False])
def test_a_transformer_of_torch_still_works(training: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).double().train(training)
    x, absent = torch.randn(2, 5, 8, dtype=torch.float64), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    expected = model(x, src_key_padding_mask=absent)
    report = convert_model(model)
    assert report.converted == {f"layers.{n}.self_attn": "MultiheadAttention" for n in range(2)}
    actual = model(x, src_key_padding_mask=absent)
    torch.testing.assert_close(actual[~absent], expected[~absent], **EXACT)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_bert(implementation: str) -> None:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=16)
    config._attn_implementation = implementation
    model: Any = BertModel(config).double()
    model.eval()
    ids, mask = torch.randint(50, (3, 7)), torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1] + [0] * 6])
    for inputs in ({"input_ids": ids}, {"input_ids": ids, "attention_mask": mask}):
        expected = model(**inputs).last_hidden_state
        counts = inputs.get("attention_mask", torch.ones_like(ids)).bool()
        twin: Any = BertModel(config).double()
        twin.eval()
        twin.load_state_dict(model.state_dict())
        report = convert_model(twin)
        assert report.converted == {f"encoder.layer.{n}.attention.self": "BertSelfAttention" for n in range(2)}
        assert not report.left
        assert sum(isinstance(item, IntegralOperator) for item in twin.modules()) == 2
        torch.testing.assert_close(twin(**inputs).last_hidden_state[counts], expected[counts], **EXACT)


def test_parameters_are_shared() -> None:
    module = nn.Conv2d(3, 4, 3)
    converted = convert(module)
    assert {*converted.parameters()} == {*module.parameters()}


class Doubled(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Mixed(nn.Module):
    """A convolution in two places, one of a stranger, a pool, a cell, and pointwise layers."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.ModuleList([nn.Conv1d(4, 4, 3, padding=1)] * 2)
        self.pool = nn.MaxPool1d(2)
        self.doubled = Doubled(4, 4, 3, padding=1)
        self.cell = nn.LSTMCell(4, 4)
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.twice, self.pool, self.doubled):
            x = layer(x)
        return self.linear(self.cell(x.transpose(1, 2).flatten(0, 1))[0])


def test_a_model_is_converted_in_place_with_a_report() -> None:
    torch.manual_seed(0)
    model = Mixed().double()
    x = torch.randn(2, 4, 9, dtype=torch.float64)
    expected = model(x)
    report = convert_model(model)
    torch.testing.assert_close(model(x), expected, **EXACT)
    assert model.twice[0] is model.twice[1]
    assert report.converted == {
        **dict.fromkeys(("twice.0", "twice.1"), "Conv1d"),
        "doubled": "Doubled",
        "cell": "LSTMCell",
    }
    assert report.pointwise == {"Linear": 1}
    assert [*report.left] == ["pool"]
    assert str(report).startswith("4 converted, 1 left\n  twice.0: Conv1d")


def test_custom_converters_are_used() -> None:
    model = Mixed().double()
    x, made = torch.randn(2, 4, 9, dtype=torch.float64), []
    expected = model(x)

    def doubled(module: Doubled) -> nn.Module:
        made.append(module)
        return nn.Sequential(convert(_plain(module)), Twice())

    report = convert_model(model, {Doubled: doubled})
    assert report.converted["doubled"] == "Doubled"
    assert len(made) == 1
    torch.testing.assert_close(model(x), expected, **EXACT)


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def _plain(module: nn.Conv1d) -> nn.Conv1d:
    plain = nn.Conv1d(4, 4, 3, padding=1).double()
    plain.load_state_dict(module.state_dict())
    return plain


def test_modules_without_an_exact_counterpart_are_refused_by_name() -> None:
    with pytest.raises(ConversionError, match=r"found torch\.nn\.modules\.linear\.Linear; expected a convolution"):
        convert(nn.Linear(3, 3))
    replaced: Any = nn.Conv1d(4, 4, 3)
    replaced.forward = lambda x: x
    with pytest.raises(ConversionError, match=r"Conv1d\.forward: found a function set on the module itself"):
        convert(replaced)


class Counting(DenseEvaluator):
    calls = 0

    def evaluate(self, problem: Problem) -> Tensor:
        self.calls += 1
        return super().evaluate(problem)


def test_an_encoder_with_padding_uses_the_converted_layers() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=True).eval()
    x, padding = torch.randn(3, 7, 16), torch.zeros(3, 7, dtype=torch.bool)
    padding[1, 5:] = True
    counting = Counting()
    with torch.no_grad():
        expected = encoder(x, src_key_padding_mask=padding)
        convert_model(encoder)
        for module in encoder.modules():
            if isinstance(module, IntegralOperator):
                module.evaluator = counting
        actual = encoder(x, src_key_padding_mask=padding)
    torch.testing.assert_close(actual[~padding], expected[~padding], rtol=0, atol=1e-6)
    assert counting.calls == 2


def test_invalid_calls_are_refused() -> None:
    x = torch.randn(2, 5, 4)
    with pytest.raises(ConversionError, match=r"is_causal\): found True, without attn_mask"):
        convert(nn.MultiheadAttention(4, 2, batch_first=True).eval())(x, x, x, is_causal=True)
    lstm = convert(nn.LSTM(4, 5, batch_first=True))
    for states in ((torch.zeros(2, 2, 5),) * 2, (torch.zeros(1, 2, 5),), (torch.zeros(1, 3, 5),) * 2):
        with pytest.raises(ShapeError, match=r"FieldRecurrent\(hx\): found states of shape"):
            lstm(x, states)
    for evaluator in (AutoEvaluator(), DenseEvaluator()):  # PyTorch's own messages
        convolution: Any = convert(nn.Conv2d(3, 4, 3))
        convolution.operator.evaluator = evaluator
        with pytest.raises(RuntimeError, match=r"got input of size: \[3, 8\]"):
            convolution(torch.randn(3, 8))
        with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
            convolution(torch.randn(3, 2, 8))


def test_relative_positions_of_older_transformers_are_refused() -> None:
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=9)
    model: Any = BertModel(config)
    model.encoder.layer[0].attention.self.position_embedding_type = "relative_key"
    report = convert_model(model)
    assert not report.converted
    assert "position_embedding_type: found 'relative_key'" in next(iter(report.left.values()))
