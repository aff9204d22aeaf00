"""Attention layers of transformers, converted through its `AttentionInterface`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from itnet_core import Sampler
from itnet_kernels import ConversionError, convert_model, unlock
from itnet_kernels.conversion.attention import ProjectedKernel, projected_attention
from itnet_kernels.conversion.interface import NAME

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
}
GROUPED = {**SIZES, "num_key_value_heads": 2, "head_dim": 4}
BART = dict.fromkeys(("encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"), 2)
LATENT = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 6}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "BERT": ("Bert", SIZES),
    "RoBERTa": ("Roberta", SIZES),
    "GPT-2": ("GPT2", {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 4}),
    "Llama, groups of queries": ("Llama", GROUPED),
    "Mistral, a window": ("Mistral", {**GROUPED, "sliding_window": 3}),
    "Gemma 2, bounded scores": ("Gemma2", {**GROUPED, "attn_logit_softcapping": 2.0, "sliding_window": 3}),
    "GPT-OSS, sinks": ("GptOss", {**GROUPED, "num_local_experts": 2, "num_experts_per_tok": 1}),
    "DeepSeek-V3, heads of other widths": (
        "DeepseekV3",
        {**SIZES, **LATENT, "num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 1, "topk_group": 1}
        | {"first_k_dense_replace": 2},
    ),
    "DeepSeek-V3.2, three keys of each query": (
        "DeepseekV32",
        {**SIZES, **LATENT, "num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 1, "topk_group": 1}
        | {"first_k_dense_replace": 2, "index_topk": 3, "index_n_heads": 2, "index_head_dim": 8},
    ),
    "T5, position bias": (
        "T5",
        {"vocab_size": 50, "d_model": 16, "d_kv": 4, "d_ff": 8, "num_layers": 2, "num_heads": 4},
    ),
    "BART, two sequences": (
        "Bart",
        {"vocab_size": 50, "d_model": 16, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, **BART},
    ),
}
EAGER_ALONE = {"Gemma 2, bounded scores", "GPT-OSS, sinks"}
SINGLE = {name for name in MODELS if name.startswith(("Llama", "Mistral", "Gemma", "DeepSeek"))}
"""Models whose `eager` attention rounds its weights to single precision."""

CASES = [
    (name, implementation)
    for name in MODELS
    for implementation in ("sdpa", "eager")
    if implementation == "eager" or name not in EAGER_ALONE
]


def build(name: str, implementation: str = "eager", *, head: str = "Model", **options: Any) -> Any:
    """Return a model in double precision with weights that make its attention uneven."""
    family, sizes = MODELS[name]
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    config = getattr(transformers, f"{family}Config")(**sizes, **tokens, **options)
    config._attn_implementation = implementation
    config._experts_implementation = "eager"
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}{head}")(config).double().eval()
    with torch.no_grad():
        for item in model.parameters():
            item.add_(torch.randn_like(item), alpha=0.2)
    return model


def example(model: Any) -> dict[str, Tensor]:
    ids = torch.randint(3, 50, (2, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    decoder = {"decoder_input_ids": ids[:, :5]} if model.config.is_encoder_decoder else {}
    return {"input_ids": ids, "attention_mask": mask, **decoder}


def outputs(model: Any, **options: Any) -> list[Tensor]:
    leaves = tree_leaves(dict(model(**example(model), **options)))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


@pytest.mark.parametrize(("name", "implementation"), CASES)
def test_converted_models_equal_the_originals(
    name: str, implementation: str, check_conversion: Callable[..., None]
) -> None:
    theirs = build(name, implementation)
    ours = copy.deepcopy(theirs)
    report = convert_model(ours, example=example(ours))
    layers = [
        module for module in theirs.modules() if "ALL_ATTENTION_FUNCTIONS" in type(module).forward.__code__.co_names
    ]
    assert len(report.converted) == len(layers) > 0
    assert not report.left
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    single = implementation == "eager" and name in SINGLE
    check_conversion(ours, theirs, outputs, 1e-5 if single else 1e-9)


CACHED = (
    "GPT-2",
    "Llama, groups of queries",
    "Mistral, a window",
    "DeepSeek-V3.2, three keys of each query",
    "BART, two sequences",
)


@pytest.mark.parametrize("name", CACHED)
def test_generation_with_a_cache_is_the_same(name: str, by_pairs: Callable[[nn.Module], Any]) -> None:
    head = "LMHeadModel" if name == "GPT-2" else "ForConditionalGeneration" if "BART" in name else "ForCausalLM"
    theirs = build(name, "sdpa", head=head)
    ours: Any = copy.deepcopy(theirs)
    assert convert_model(ours).converted
    by_pairs(ours)
    options: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, "output_scores": True}
    inputs = {key: item for key, item in example(theirs).items() if key != "decoder_input_ids"}
    results = [model.generate(**inputs, **options, return_dict_in_generate=True) for model in (theirs, ours)]
    assert torch.equal(results[0].sequences, results[1].sequences)
    torch.testing.assert_close(results[1].scores, results[0].scores, rtol=1e-9, atol=1e-9)


def test_eager_layers_return_the_weights() -> None:
    for name in ("BERT", "GPT-OSS, sinks", "T5, position bias"):
        theirs = build(name)
        ours = copy.deepcopy(theirs)
        convert_model(ours)
        expected, actual = (outputs(model, output_attentions=True) for model in (theirs, ours))
        assert len(expected) > len(outputs(theirs))
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


def test_weights_are_dropped_in_training_as_the_original_drops_them() -> None:
    for implementation in ("sdpa", "eager"):
        theirs = build("BERT", implementation, attention_probs_dropout_prob=0.5, hidden_dropout_prob=0.0).train()
        ours = copy.deepcopy(theirs)
        convert_model(ours)
        actual, expected = ([torch.manual_seed(0), *outputs(model)][1:] for model in (ours, theirs))
        torch.testing.assert_close(actual, expected)


def test_a_converted_model_is_copied_and_keeps_its_operators_under_another_implementation(half: type[Sampler]) -> None:
    model = build("BERT", "sdpa")
    expected = outputs(model)
    convert_model(model)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(outputs(again), expected, rtol=1e-9, atol=1e-9)
    model.set_attn_implementation("eager")
    model.encoder.layer[0].attention.self.operator.sampler = half(16)
    assert not torch.allclose(outputs(model)[0], expected[0])
    assert model.config._attn_implementation == "eager"


def test_an_unlocked_model_starts_as_the_original_and_learns() -> None:
    model = build("Llama, groups of queries", "sdpa")
    expected = outputs(model)
    convert_model(model)
    assert len(unlock(model)) == 2
    torch.testing.assert_close(outputs(model), expected, rtol=1e-9, atol=1e-9)
    outputs(model)[0].square().sum().backward()  # type: ignore[no-untyped-call]
    gates = [item for name, item in model.named_parameters() if name.endswith("gate")]
    assert len(gates) == 2
    assert all(gate.grad is not None and gate.grad.any() for gate in gates)


def test_what_cannot_be_converted_is_left_with_the_reason() -> None:
    model = build("BERT", "sdpa")
    model.config._attn_implementation = "flex_attention"
    [reason, *_] = convert_model(model).left.values()
    assert "attn_implementation='flex_attention'; expected 'sdpa' or 'eager'" in reason


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_eager_layers_add_a_mask_of_truth_values(implementation: str, by_pairs: Callable[[nn.Module], Any]) -> None:
    """As Grounding DINO gives one to its BERT: `eager` adds 1 and 0 to the scores, where `sdpa` masks keys."""
    theirs: Any = build("BERT", implementation).encoder.layer[0].attention.self
    model = nn.ModuleList([copy.deepcopy(theirs)])
    convert_model(model)
    x, mask = torch.randn(2, 5, 16, dtype=torch.float64), torch.ones(5, 5, dtype=torch.bool).tril()[None, None]
    expected, _ = theirs(x, mask)
    assert torch.allclose(expected, theirs(x, mask.double())[0]) == (implementation == "eager")
    for ours in (model, by_pairs(model)):
        actual, _ = ours[0](x, mask)
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
        gradients = (
            torch.autograd.grad(out.square().sum(), [*layer.parameters()], retain_graph=True)
            for out, layer in ((actual, ours[0]), (expected, theirs))
        )
        torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


def test_only_converted_layers_use_the_function() -> None:
    convert_model(build("BERT"))  # registers it
    model = build("BERT", NAME)
    with pytest.raises(ConversionError, match=f"'{NAME}' for BertSelfAttention; expected a converted layer"):
        outputs(model)


def test_heads_that_differ_from_the_attributes_are_those_of_the_call() -> None:
    model = build("Llama, groups of queries", "sdpa")
    expected = outputs(model)
    convert_model(model)
    layer = model.layers[0].self_attn
    right = layer.operator
    assert (right.kernel.heads, right.kernel.key_heads, right.kernel.head_dim) == (4, 2, 4)
    layer.operator = projected_attention(ProjectedKernel(3, 5), 5)
    torch.testing.assert_close(outputs(model), expected, rtol=1e-9, atol=1e-9)
    assert layer.operator.kernel.config == right.kernel.config
