"""Small models of transformers with random weights, and inputs that they may take."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from conversion_libraries import Candidate, Example, check_size
from torch import Tensor

FIELDS: Mapping[int, tuple[str, ...]] = {
    32: (
        "hidden_size",
        "d_model",
        "n_embd",
        "embed_dim",
        "embedding_size",
        "dim",
        "emb_dim",
        "embedding_dim",
        "word_embed_proj_dim",
        "projection_dim",
        "intermediate_size",
        "ffn_dim",
        "d_ff",
        "n_inner",
        "encoder_ffn_dim",
        "decoder_ffn_dim",
        "dim_feedforward",
        "moe_intermediate_size",
        "ffn_hidden_size",
    ),
    2: (
        "num_hidden_layers",
        "n_layer",
        "n_layers",
        "num_layers",
        "encoder_layers",
        "decoder_layers",
        "depth",
        "num_decoder_layers",
        "num_encoder_layers",
        "num_key_value_heads",
        "num_experts_per_tok",
        "top_k",
    ),
    4: (
        "num_attention_heads",
        "n_head",
        "n_heads",
        "num_heads",
        "encoder_attention_heads",
        "decoder_attention_heads",
        "num_experts",
        "num_local_experts",
        "n_routed_experts",
        "sliding_window",
    ),
    8: (
        "head_dim",
        "d_kv",
        "attention_head_size",
        "qk_nope_head_dim",
        "qk_rope_head_dim",
        "v_head_dim",
        "patch_size",
        "rotary_dim",
    ),
    16: ("q_lora_rank", "kv_lora_rank"),
    64: ("max_position_embeddings", "n_positions", "max_source_positions", "max_target_positions"),
    1: ("n_group", "topk_group"),
    99: ("vocab_size",),
}
SIZES = {name: size for size, names in FIELDS.items() for name in names} | {"image_size": 32}
"""Small values of the fields that configurations share."""

VARIANTS: tuple[Mapping[str, int | None], ...] = (
    {},
    {"num_key_value_heads": 4},
    {"image_size": 64},
    {"head_dim": 16},
    {"embed_dim": None, "patch_size": None, "image_size": None},
    {"hidden_size": 64, "d_model": 64, "num_hidden_layers": 4},
    dict.fromkeys({*SIZES} - {*FIELDS[2], *FIELDS[99]}),
)
"""Changes of `SIZES` that are tried in turn, until a model can be built and called; `None` keeps the default."""


HEADS = {"num_attention_heads": 4, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 32, "vocab_size": 99}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 8, "vocab_size": 99}
SMALL: Mapping[str, Mapping[str, Any]] = {
    "bamba": HEADS
    | {
        "num_key_value_heads": 2,
        "attn_layer_indices": [1],
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "mamba_n_groups": 1,
    },
    "codegen": GPT,
    "esm": HEADS | {"pad_token_id": 1, "mask_token_id": 2, "emb_layer_norm_before": False},
    "gptj": GPT,
    "granitemoehybrid": HEADS
    | {
        "num_key_value_heads": 2,
        "layer_types": ["mamba", "attention"],
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "mamba_n_groups": 1,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "shared_intermediate_size": 32,
    },
    "jamba": HEADS
    | {
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
    },
    "luke": HEADS | {"entity_vocab_size": 99, "entity_emb_size": 16},
    "mamba2": {
        "num_heads": 8,
        "head_dim": 8,
        "hidden_size": 32,
        "state_size": 8,
        "n_groups": 1,
        "num_hidden_layers": 2,
        "vocab_size": 99,
    },
    "patchtsmixer": {},
    "patchtst": {"d_model": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 32},
    "perceiver": {
        "d_model": 32,
        "d_latents": 32,
        "num_latents": 8,
        "num_self_attends_per_block": 2,
        "num_self_attention_heads": 4,
        "num_cross_attention_heads": 4,
    },
    "rwkv": {
        "hidden_size": 32,
        "attention_hidden_size": 32,
        "num_hidden_layers": 2,
        "vocab_size": 99,
        "context_length": 16,
    },
    "zamba": HEADS
    | {
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "layer_types": ["mamba", "hybrid", "hybrid"],
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
        "n_mamba_heads": 2,
    },
    "zamba2": HEADS
    | {
        "num_key_value_heads": 2,
        "layer_types": ["mamba", "hybrid"],
        "hybrid_layer_ids": [1],
        "num_mem_blocks": 1,
        "mamba_d_state": 8,
        "n_mamba_heads": 8,
        "mamba_headdim": 8,
        "mamba_ngroups": 1,
        "use_mem_rope": False,
    },
}
"""Small configurations of architectures whose sizes depend on each other."""


def transformers_architectures() -> list[str]:
    """Return the names of transformers' architectures with a base model."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return list(MODEL_MAPPING_NAMES)


def shrink(config: Any, sizes: Mapping[str, int | None]) -> None:
    """Set the fields of a configuration, and of those within it, to small values."""
    from transformers import PretrainedConfig

    for name, value in [*vars(config).items()]:
        if isinstance(value, PretrainedConfig):
            shrink(value, sizes)
        elif sizes.get(name) and isinstance(value, int) and not isinstance(value, bool):
            setattr(config, name, sizes[name])
        elif name.endswith("token_id") and isinstance(value, int):
            setattr(config, name, 1)
        elif name.endswith("layer_types") and value:
            setattr(config, name, [*[value[0]] * ((sizes.get("num_hidden_layers") or 2) - 1), value[-1]])


def build(name: str, sizes: Mapping[str, int | None], everything: bool) -> tuple[Any, Example]:
    """Return a small model with random weights, and inputs.

    Raises:
        ValueError: it has too many parameters.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    config = CONFIG_MAPPING[name](**SMALL.get(name, {}))
    if name not in SMALL:
        shrink(config, sizes)
    found = MODEL_MAPPING[type(config)]
    cls: Any = found[0] if isinstance(found, tuple) else found
    with torch.device("meta"):
        check_size(cls._from_config(copy.deepcopy(config)))
    model = cls._from_config(config, attn_implementation="eager")
    return model, inputs(model, everything)


def inputs(model: Any, everything: bool) -> dict[str, Tensor]:
    """Return inputs that a model may take: its main one, or all that it names."""
    config, generator = model.config, torch.Generator().manual_seed(0)
    size = getattr(getattr(config, "vision_config", config), "image_size", 32)
    size = size if isinstance(size, int) else 32
    ids = torch.randint(2, 90, (2, 7), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    known = {
        "inputs": torch.randn(2, 9, getattr(config, "d_model", 32), generator=generator),
        "input_ids": ids,
        "attention_mask": mask,
        "decoder_input_ids": ids[:, :5],
        "pixel_values": torch.randn(2, getattr(config, "num_channels", 3), size, size, generator=generator),
        "input_values": torch.randn(2, 2000, generator=generator),
        "input_features": torch.randn(2, getattr(config, "num_mel_bins", 80), 128, generator=generator),
        "bbox": torch.arange(4).expand(2, 7, 4),
    }
    known["past_values"] = torch.randn(
        2, getattr(config, "context_length", 32), getattr(config, "num_input_channels", 1), generator=generator
    )
    names = [name for name in inspect.signature(model.forward).parameters if name in known]
    main, decoder = model.main_input_name, ["decoder_input_ids"] if config.is_encoder_decoder else []
    sides = [main, *(["attention_mask", "bbox"] if main == "input_ids" else []), *decoder]
    return {name: known[name] for name in names if everything or name in sides}


def transformers_candidates(name: str) -> Iterator[Candidate]:
    """Yield variants of a small model, with inputs."""
    for variant in VARIANTS:
        for everything in (False, True):
            yield partial(build, name, {**SIZES, **variant}, everything)
