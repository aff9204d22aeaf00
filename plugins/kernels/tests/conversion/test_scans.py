"""Layers of transformers that scan the past: with caches, padding and states as the originals."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from itnet_core import IntegralOperator, Problem, TiledEvaluator
from itnet_kernels import convert, convert_model
from itnet_kernels.conversion.scans import ScanningLayer, scans

SMALL: dict[str, Any] = {"vocab_size": 19, "hidden_size": 16, "num_hidden_layers": 2}
ATTENDING: dict[str, Any] = {"intermediate_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2}
MIXER: dict[str, Any] = {"mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_n_groups": 2}
CONFIGS: dict[str, Callable[[], Any]] = {
    "mamba": lambda: transformers.MambaConfig(**SMALL, state_size=4),
    "falcon_mamba": lambda: transformers.FalconMambaConfig(**SMALL, state_size=4),
    "mamba2": lambda: transformers.Mamba2Config(
        **SMALL, state_size=4, num_heads=4, head_dim=8, n_groups=2, chunk_size=8, time_step_limit=(0.01, 0.9)
    ),
    "rwkv": lambda: transformers.RwkvConfig(**SMALL, context_length=32),
    "bamba": lambda: transformers.BambaConfig(**SMALL, **ATTENDING, **MIXER, attn_layer_indices=[1]),
    "jamba": lambda: transformers.JambaConfig(
        **SMALL, **ATTENDING, mamba_d_state=4, mamba_dt_rank=3, num_experts=2, attn_layer_period=2, attn_layer_offset=1
    ),
}


def language_model(name: str) -> Any:
    """Return a small model with weights that leave nothing at 0."""
    torch.manual_seed(0)
    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_config(CONFIGS[name]()).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.1)
    return model


def summed_by_pairs(model: nn.Module) -> Counted:
    """Let all operators of a model sum over all pairs; return what counts their sums."""
    counted = Counted()
    for module in model.modules():
        if isinstance(module, IntegralOperator):
            module.evaluator = counted
    return counted


class Counted(TiledEvaluator):
    """Counts its sums."""

    sums = 0

    def evaluate(self, problem: Problem) -> Tensor:
        self.sums += 1
        return super().evaluate(problem)


def states(cache: Any) -> list[Tensor]:
    """Return the tensors of a cache, or of RWKV's list of states."""
    parts = [vars(layer) for layer in cache.layers] if hasattr(cache, "layers") else cache
    return [leaf for leaf in tree_leaves(parts) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


@pytest.fixture(params=CONFIGS)
def models(request: pytest.FixtureRequest) -> tuple[Any, Any, Any]:
    """Return a model, its conversion, and its conversion summed over all pairs."""
    theirs = language_model(request.param)
    ours, pairs = copy.deepcopy(theirs), copy.deepcopy(theirs)
    words = torch.randint(19, (1, 6))
    for model in (ours, pairs):
        report = convert_model(model, example={"input_ids": words})
        assert not report.left, report
        assert any(isinstance(layer, ScanningLayer) for layer in model.modules())
    summed_by_pairs(pairs)
    return theirs, ours, pairs


def test_outputs_states_and_steps_from_the_cache_are_the_originals(models: tuple[Any, Any, Any]) -> None:
    words = torch.randint(19, (2, 21), generator=torch.Generator().manual_seed(1))
    name = "state" if models[0].config.model_type == "rwkv" else "past_key_values"
    name = "cache_params" if "mamba" in models[0].config.model_type and hasattr(models[0], "backbone") else name
    found = []
    for model in models:
        whole = model(words)  # with a cache, as by default
        first = model(words[:, :12], use_cache=True)
        then = []
        cache = getattr(first, name)
        for part in (words[:, 12:13], words[:, 13:14]):
            after = model(part, use_cache=True, **{name: cache})
            cache = getattr(after, name)
            then.append(after.logits)
        found.append([whole.logits, first.logits, *then, *states(cache)])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-5)


def test_it_generates_the_same(models: tuple[Any, Any, Any]) -> None:
    words = torch.randint(19, (2, 7), generator=torch.Generator().manual_seed(2))
    texts = [model.generate(words, max_new_tokens=6, do_sample=False, pad_token_id=0) for model in models]
    assert torch.equal(texts[0], texts[1])
    assert torch.equal(texts[0], texts[2])


def test_gradients_are_the_originals(models: tuple[Any, Any, Any]) -> None:
    words = torch.randint(19, (2, 9), generator=torch.Generator().manual_seed(3))
    gradients = []
    for model in models:
        loss = model.train()(words, labels=words).loss
        gradients.append(torch.autograd.grad(loss, [*model.parameters()], allow_unused=True))
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], rtol=1e-3, atol=1e-5)


def test_the_default_cache_does_not_run_the_original() -> None:
    for name in CONFIGS:
        model = language_model(name)
        convert_model(model, example={"input_ids": torch.zeros(1, 4, dtype=torch.long)})
        scanning = [layer for layer in model.modules() if isinstance(layer, ScanningLayer)]
        for layer in scanning:
            counted = Counted()
            layer.integral.evaluator = counted
            model(torch.zeros(1, 8, dtype=torch.long))
            assert counted.sums == 1, name


@pytest.mark.parametrize("name", ["mamba", "mamba2", "bamba"])
def test_padding_is_the_originals(name: str) -> None:
    theirs = language_model(name)
    words, mask = torch.randint(19, (3, 12)), torch.ones(3, 12, dtype=torch.long)
    mask[0, :5], mask[1, 9:], mask[2, 4] = 0, 0, 0
    expected = theirs(words, attention_mask=mask).logits
    convert_model(theirs, example={"input_ids": words})
    for _ in range(2):
        torch.testing.assert_close(theirs(words, attention_mask=mask).logits, expected, rtol=1e-4, atol=1e-5)
        summed_by_pairs(theirs)


def test_a_prompt_in_two_parts_continues_from_the_state_of_mamba2() -> None:
    theirs = language_model("mamba2")
    words = torch.randint(19, (2, 20))
    ours = copy.deepcopy(theirs)
    convert_model(ours)
    found = []
    for model in (theirs, ours):
        first = model(words[:, :9], use_cache=True)
        found.append(model(words[:, 9:], cache_params=first.cache_params, use_cache=True).logits)
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_a_state_of_rwkv_stands_for_the_points_before() -> None:
    theirs = language_model("rwkv")
    words = torch.randint(19, (2, 20))
    ours = copy.deepcopy(theirs)
    convert_model(ours)
    summed_by_pairs(ours)
    first = theirs(words[:, :9], use_cache=True)
    expected = theirs(words[:, 9:], state=[part.clone() for part in first.state], use_cache=True)
    actual = ours(words[:, 9:], state=[part.clone() for part in first.state], use_cache=True)
    torch.testing.assert_close(actual.logits, expected.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(actual.state, expected.state, rtol=1e-4, atol=1e-4)


def test_in_float64_rwkv_is_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    theirs = language_model("rwkv").double()
    words = torch.randint(19, (2, 20))
    expected = theirs(words, use_cache=False).logits
    convert_model(theirs)
    summed_by_pairs(theirs)
    torch.testing.assert_close(theirs(words, use_cache=False).logits, expected, rtol=0, atol=1e-9)


def test_half_precision_is_as_close_as_the_original() -> None:
    for name in ("mamba", "mamba2", "rwkv"):
        theirs, words = language_model(name), torch.randint(19, (1, 16))
        exact = theirs(words).logits
        ours = copy.deepcopy(theirs).bfloat16()
        convert_model(ours)
        theirs = theirs.bfloat16()
        assert (ours(words).logits - exact).abs().max() <= 2 * (theirs(words).logits - exact).abs().max() + 1e-2, name


def test_layers_of_other_packages_are_left() -> None:
    class Mixer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    assert not scans(Mixer)
    assert not scans(nn.Linear)


def test_the_operator_keeps_its_evaluator_when_sizes_change() -> None:
    layer: Any = convert(language_model("mamba").backbone.layers[0].mixer)
    counted = Counted()
    layer.integral.evaluator = counted
    layer(torch.randn(2, 5, 16))
    layer(torch.randn(1, 9, 16))
    assert counted.sums == 2


@pytest.mark.parametrize("name", ["mamba", "rwkv"])  # transformers' Mamba-2 refuses it
def test_a_batch_may_be_empty(name: str) -> None:
    model = language_model(name)
    words = torch.zeros(0, 5, dtype=torch.long)
    expected = model(words).logits.shape
    convert_model(model)
    summed_by_pairs(model)
    assert model(words).logits.shape == expected
