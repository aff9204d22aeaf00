"""RecurrentGemma's gated linear recurrence: with resets, states and caches as the original."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.models.recurrent_gemma.modeling_recurrent_gemma import RecurrentGemmaRglru

from itnet_core import DenseEvaluator
from itnet_kernels import convert, convert_model
from itnet_kernels.conversion.gated_scan import GatedScanLayer

CONFIG: dict[str, Any] = {
    "vocab_size": 19,
    "hidden_size": 16,
    "lru_width": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "attention_window_size": 8,
}


def unit() -> Any:
    torch.manual_seed(0)
    made: Any = RecurrentGemmaRglru(transformers.RecurrentGemmaConfig(**CONFIG))  # type: ignore[no-untyped-call]
    for weight in made.parameters():
        nn.init.normal_(weight)
    return made


def converted(original: Any) -> Any:
    layer: Any = convert(copy.deepcopy(original))
    layer.integral.evaluator = DenseEvaluator()
    return layer


@pytest.mark.parametrize("starts", [[0], [0, 4], [3], [0, 1, 2, 6]])
@pytest.mark.parametrize("state", [False, True])
def test_values_states_and_gradients_are_the_originals(starts: list[int], state: bool) -> None:
    original = unit()
    x, positions = torch.randn(2, 7, 16), 1 + torch.arange(7).expand(2, 7).clone()
    positions[0, starts] = 0  # the second sample is never reset
    found = []
    for layer in (original, converted(original)):
        layer.recurrent_states = torch.linspace(-1, 1, 32).view(2, 16) if state else None
        u = x.clone().requires_grad_()
        out = layer(u, positions)
        loss = out.square().sum() + layer.recurrent_states.sin().sum()
        found.append([out, layer.recurrent_states, *torch.autograd.grad(loss, [u, *layer.parameters()])])
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_a_gate_that_underflows_forgets_all() -> None:
    original = unit()
    with torch.no_grad():
        original.recurrent_param.fill_(200.0)
    x, positions = torch.randn(1, 6, 16), torch.arange(6).unsqueeze(0)
    torch.testing.assert_close(converted(original)(x, positions), original(x, positions))


def test_a_model_generates_the_same() -> None:
    torch.manual_seed(0)
    config = transformers.RecurrentGemmaConfig(**CONFIG, block_types=("recurrent", "attention"))
    model: Any = transformers.RecurrentGemmaForCausalLM(config).eval()  # type: ignore[no-untyped-call]
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.3)
    words = torch.randint(19, (2, 7))
    ours = copy.deepcopy(model)
    report = convert_model(ours, example={"input_ids": words})
    assert list(report.converted.values()).count("RecurrentGemmaRglru") == 2
    assert not report.left
    for layer in ours.modules():
        if isinstance(layer, GatedScanLayer):
            layer.integral.evaluator = DenseEvaluator()
    texts: list[Tensor] = [each.generate(words, max_new_tokens=6, do_sample=False) for each in (model, ours)]
    assert torch.equal(*texts)
    torch.testing.assert_close(ours(words).logits, model(words).logits, rtol=1e-4, atol=1e-5)
