"""Models of libraries whose layers write attention out, converted: outputs, gradients, caches and weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import timm
import torch
import torchaudio
import torchvision
import transformers
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from itnet_kernels import convert_model

BERT: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 16}
VIT: dict[str, Any] = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 4}
SWIN: dict[str, Any] = {"img_size": 16, "patch_size": 2, "window_size": 4, "embed_dim": 8, "depths": (2, 1)}
COAT: dict[str, Any] = {"patch_size": 4, "embed_dims": (16,) * 4, "serial_depths": (1,) * 4, "num_heads": 8}
EFFICIENT: dict[str, Any] = {"widths": (8, 8, 8, 16, 16), "depths": (1,) * 5, "head_dim": 8, "head_widths": (16, 16)}
MVP: dict[str, Any] = dict.fromkeys(
    ("encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"), 2
)
SOUNDS: dict[str, Any] = {"conv_dim": (8,), "conv_kernel": (10,), "conv_stride": (5,), "num_buckets": 8} | {
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
WAVES: dict[str, Any] = {
    "extractor_mode": "group_norm",
    "extractor_conv_layer_config": [(8, 10, 5)],
    "extractor_conv_bias": False,
    "encoder_embed_dim": 16,
    "encoder_projection_dropout": 0.0,
    "encoder_pos_conv_kernel": 3,
    "encoder_pos_conv_groups": 2,
    "encoder_num_layers": 2,
    "encoder_num_heads": 4,
    "encoder_attention_dropout": 0.0,
    "encoder_ff_interm_features": 16,
    "encoder_ff_interm_dropout": 0.0,
    "encoder_dropout": 0.0,
    "encoder_layer_norm_first": False,
    "encoder_layer_drop": 0.0,
    "aux_num_out": None,
}


def language_model(family: str, head: str = "Model", **sizes: Any) -> Any:
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = getattr(transformers, f"{family}Config")(vocab_size=50, **sizes, **tokens)
    config._attn_implementation = "eager"
    return getattr(transformers, f"{family}{head}")(config)


BLOOM: dict[str, Any] = {"hidden_size": 16, "n_layer": 2, "n_head": 4}
NEO: dict[str, Any] = {"hidden_size": 16, "num_layers": 2, "num_heads": 4, "window_size": 3}
NEO |= {"attention_types": [[["global", "local"], 1]]}
DISENTANGLED = {**BERT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
MODELS: dict[str, tuple[str, int, Callable[[], Any]]] = {
    "ViT": ("Attention", 2, lambda: timm.create_model("vit_tiny_patch16_224", **VIT)),
    "EVA": ("EvaAttention", 2, lambda: timm.create_model("eva02_tiny_patch14_224", **VIT)),
    "Swin of timm": ("WindowAttention", 3, lambda: timm.create_model("swin_tiny_patch4_window7_224", **SWIN)),
    "Swin of torchvision": (
        "ShiftedWindowAttention",
        3,
        lambda: torchvision.models.SwinTransformer([2, 2], 8, [2, 1], [2, 4], [4, 4]),
    ),
    "wav2vec 2 of torchaudio": ("SelfAttention", 2, lambda: torchaudio.models.wav2vec2_model(**WAVES)),
    "XCiT": ("XCA", 2, lambda: timm.models.xcit.Xcit(**VIT | {"patch_size": 8, "img_size": 32})),
    "CoaT": ("FactorAttnConvRelPosEnc", 4, lambda: timm.models.coat.CoaT(img_size=32, **COAT)),
    "EfficientViT": ("LiteMLA", 2, lambda: timm.models.efficientvit_mit.EfficientVit(**EFFICIENT)),
    "BLOOM": ("BloomAttention", 2, lambda: language_model("Bloom", **BLOOM)),
    "DeBERTa-v2": ("DisentangledSelfAttention", 2, lambda: language_model("DebertaV2", **DISENTANGLED)),
    "MPNet": ("MPNetSelfAttention", 2, lambda: language_model("MPNet", **BERT)),
    "GPT-Neo": ("GPTNeoSelfAttention", 2, lambda: language_model("GPTNeo", **NEO)),
    "XLNet": (
        "XLNetRelativeAttention",
        2,
        lambda: language_model("XLNet", d_model=16, n_layer=2, n_head=4, d_inner=16),
    ),
    "CvT": (
        "CvtSelfAttention",
        1,
        lambda: transformers.CvtModel(
            transformers.CvtConfig(embed_dim=[16], num_heads=[4], depth=[1], **CVT, patch_sizes=[4])
        ),
    ),
    "WavLM": ("WavLMAttention", 2, lambda: transformers.WavLMModel(transformers.WavLMConfig(**BERT, **SOUNDS))),
    "MVP": (
        "MvpAttention",
        6,
        lambda: language_model(
            "Mvp", d_model=16, encoder_ffn_dim=8, decoder_ffn_dim=8, decoder_start_token_id=1, **MVP
        ),
    ),
}
CVT: dict[str, Any] = {
    name: [value]
    for name, value in {
        "patch_stride": 4,
        "patch_padding": 0,
        "mlp_ratio": 2.0,
        "attention_drop_rate": 0.0,
        "drop_rate": 0.0,
        "drop_path_rate": 0.0,
        "qkv_bias": True,
        "cls_token": True,
        "qkv_projection_method": "dw_bn",
        "kernel_qkv": 3,
        "padding_kv": 1,
        "stride_kv": 2,
        "padding_q": 1,
        "stride_q": 1,
    }.items()
}
SINGLE = {"BLOOM", "GPT-Neo", "EfficientViT"}
"""Models that compute their weights in single precision."""


def build(name: str) -> nn.Module:
    """Return a model in double precision with weights that make its attention uneven."""
    torch.manual_seed(0)
    model: nn.Module = MODELS[name][2]().double().eval()
    with torch.no_grad():
        for item in model.parameters():
            item.add_(torch.randn_like(item), alpha=0.2)
    return model


def example(name: str) -> Any:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 50, (2, 7), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    if name == "WavLM":
        return {"input_values": torch.randn(2, 60, dtype=torch.float64, generator=generator)}
    if "wav2vec" in name:
        return torch.randn(2, 60, dtype=torch.float64, generator=generator), torch.tensor([60, 40])
    if name in ("XCiT", "CoaT", "EfficientViT"):
        return torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=generator)
    if name in ("ViT", "EVA", "CvT") or "Swin" in name:
        return torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=generator)
    return {"input_ids": ids, "attention_mask": mask}


def outputs(model: nn.Module, inputs: Any, **options: Any) -> list[Tensor]:
    arguments = inputs if isinstance(inputs, tuple) else () if isinstance(inputs, dict) else (inputs,)
    out = model(*arguments, **(inputs if isinstance(inputs, dict) else {}), **options)
    leaves = tree_leaves(dict(out) if isinstance(out, dict) else out)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


@pytest.mark.parametrize("name", MODELS)
def test_converted_models_equal_the_originals(name: str, check_conversion: Callable[..., None]) -> None:
    theirs, inputs = build(name), example(name)
    ours = copy.deepcopy(theirs)
    report = convert_model(ours, example=inputs)
    layer, count, _ = MODELS[name]
    assert [*report.converted.values()].count(layer) == count
    assert not report.left
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    check_conversion(ours, theirs, partial(outputs, inputs=inputs), 1e-5 if name in SINGLE else 1e-9)


@pytest.mark.parametrize(("family", "sizes"), [("Bloom", BLOOM), ("GPTNeo", NEO)])
def test_generation_with_a_cache_is_the_same(
    family: str, sizes: dict[str, Any], by_pairs: Callable[[nn.Module], Any]
) -> None:
    torch.manual_seed(0)
    theirs = language_model(family, "ForCausalLM", **sizes).eval()
    ours = copy.deepcopy(theirs)
    assert convert_model(ours, example=example(family)).converted
    by_pairs(ours)
    options: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, "output_scores": True}
    results = [model.generate(**example(family), **options, return_dict_in_generate=True) for model in (theirs, ours)]
    assert torch.equal(results[0].sequences, results[1].sequences)
    torch.testing.assert_close(results[1].scores, results[0].scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["MPNet", "XLNet", "DeBERTa-v2"])
def test_layers_return_the_weights(name: str) -> None:
    theirs, inputs = build(name), example(name)
    ours = copy.deepcopy(theirs)
    convert_model(ours, example=inputs)
    expected, actual = (outputs(model, inputs, output_attentions=True) for model in (theirs, ours))
    assert len(expected) > len(outputs(theirs, inputs))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
