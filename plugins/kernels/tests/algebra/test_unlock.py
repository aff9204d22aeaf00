"""Unlocked models: the same at the start, and free to learn more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from itnet_core import DenseEvaluator, Field, IntegralOperator
from itnet_kernels import AttentionKernel, ConversionError, convert, convert_model, unlock
from itnet_registry import create_model, load_model, save_model

EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}


def gates(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for name, parameter in model.named_parameters() if name.endswith("gate")]


def test_a_model_keeps_its_output_and_learns(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder, head = {"name": "itnet-core/field", "channels": 3}, {"name": "classify", "classes": 2}
    kernel = {"name": "attention", "heads": 2}
    model: Any = create_model(width=8, depth=2, encoder=encoder, kernel=kernel, head=head).eval()
    field = Field(torch.randn(2, 5, 3), torch.rand(2, 5, 4))
    before = model(field)
    assert unlock(model, {"name": "mlp", "hidden": 5}) == ["trunk.blocks.0.operator", "trunk.blocks.1.operator"]
    assert torch.equal(model(field), before)
    model(field).sum().backward()
    assert all(gate.grad is not None and gate.grad.abs().max() > 0 for gate in gates(model))
    assert model.config["trunk"][0]["kernel"]["kernels"][1]["kernel"]["hidden"] == 5
    for gate in gates(model):
        nn.init.constant_(gate, 0.1)
    save_model(model, tmp_path / "c")
    again: Any = load_model(tmp_path / "c")
    assert torch.equal(again(field), model(field))
    assert not torch.allclose(again(field), before)
    unlock(model, "gaussian")
    assert [item["name"] for item in model.config["trunk"][0]["kernel"]["kernels"]][1:] == ["itnet-kernels/scaled"] * 2
    assert torch.equal(model(field), again(field))


def test_an_operator_built_by_hand_keeps_its_modules() -> None:
    operator = IntegralOperator(8, AttentionKernel(8, heads=2)).double()
    field = Field(torch.randn(2, 5, 8).double(), torch.rand(2, 5, 4).double())
    before, kernel, parameters = operator(field).values, operator.kernel, dict(operator.named_parameters())
    assert unlock(operator) == [""]
    assert torch.equal(operator(field).values, before)
    assert operator.summands[0][0] is kernel
    assert {id(parameter) for parameter in parameters.values()} <= {id(p) for p in operator.parameters()}


@pytest.mark.parametrize("mask", [None, "causal", "padding"])
def test_converted_attention(mask: str | None) -> None:
    torch.manual_seed(0)
    reference = nn.MultiheadAttention(8, 2, batch_first=True).double()
    layer: Any = convert(reference)
    x, masks = torch.randn(2, 5, 8, dtype=torch.float64), {}
    if mask == "causal":
        masks["attn_mask"] = torch.ones(5, 5).triu(1).bool()
    elif mask == "padding":
        masks["key_padding_mask"] = torch.arange(5).expand(2, -1) > 3
    before = reference(x, x, x, **masks)
    assert unlock(layer) == ["operator"]
    torch.testing.assert_close(layer(x, x, x, **masks), before, **EXACT)
    layer.load_state_dict(reference.state_dict(), strict=False)
    assert not layer.load_state_dict(reference.state_dict(), strict=False).unexpected_keys
    [gate] = gates(layer)
    layer(x, x, x, **masks)[0].square().sum().backward()
    assert gate.grad is not None
    assert gate.grad.abs().max() > 0
    nn.init.ones_(gate)
    out = layer(x, x, x, **masks)[0]
    assert not torch.allclose(out, before[0])
    y = x.clone()
    y[:, 4] += 1.0  # a later point, or padding
    if mask is not None:
        torch.testing.assert_close(layer(y, y, y, **masks)[0][:, :4], out[:, :4], **EXACT)
    layer.operator.evaluator = DenseEvaluator()
    torch.testing.assert_close(layer(x, x, x, **masks)[0], out, rtol=1e-9, atol=1e-9)


def test_what_the_original_computes_alone_is_refused() -> None:
    layer: Any = convert(nn.MultiheadAttention(8, 2, batch_first=True, dropout=0.1))
    unlock(layer)
    x = torch.randn(1, 5, 8)
    with pytest.raises(ConversionError, match="in an unlocked layer"):
        layer(x, x, x)
    layer.eval()(x, x, x)


def test_a_trace_contains_the_new_integral() -> None:
    layer: Any = convert(nn.MultiheadAttention(8, 2, batch_first=True))
    layer.eval()
    unlock(layer)
    nn.init.ones_(gates(layer)[0])
    x = torch.randn(1, 5, 8)
    expected = layer(x, x, x, need_weights=False)[0]
    compiled: Any = torch.compile(layer, backend="eager")
    torch.testing.assert_close(compiled(x, x, x, need_weights=False)[0], expected)


def test_bert() -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8, use_cache=False
    )
    model: Any = BertModel(config)
    model.eval()
    tokens = torch.randint(20, (2, 6))
    before = model(tokens).last_hidden_state
    convert_model(model)
    assert len(unlock(model)) == 2
    torch.testing.assert_close(model(tokens).last_hidden_state, before)


def test_other_layers_stay() -> None:
    model = nn.Sequential(nn.Conv1d(8, 8, 3), nn.MultiheadAttention(8, 2))
    convert_model(model)
    assert unlock(model) == ["1.operator"]
    for locked in (model[0], nn.Linear(3, 3)):
        with pytest.raises(ConversionError, match="unlock: found"):
            unlock(locked)
