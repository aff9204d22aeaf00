"""Small models of transformers with random weights, and inputs that they may take."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from conversion_inputs import LAYOUTS, PLACEHOLDERS, inputs
from conversion_libraries import Candidate, Example, check_size

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

OTHERS: Mapping[Any, tuple[str, ...]] = {
    0: ("num_kv_shared_layers", "first_k_dense_replace", "num_dense_layers", "num_nextn_predict_layers", "output_dim"),
    1: ("num_expert_group", "num_attention_layers", "num_groups", "extra_queries"),
    2: (
        "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k", "zero_expert_num", "num_codebooks", "n_codebooks",
        "num_quantizers", "x_layers", "l_layers", "r_layers", "layers", "nhl", "num_layers_per_stack", "depth_layers",
        "text_encoder_num_layers", "resampler_depth", "memory_attention_num_layers", "pred_num_hidden_layers",
        "num_spatial_layers", "num_temporal_layers", "num_auxiliary_layers", "conf_num_hidden_layers", "swa_num_key_value_heads",
    ),
    4: (
        "linear_num_heads", "index_n_heads", "moe_num_experts", "attention_heads", "decoder_self_attention_heads",
        "decoder_cross_attention_heads", "conf_num_attention_heads", "swa_num_attention_heads", "num_frames",
        "frames_per_clip", "pred_num_attention_heads", "decoder_num_attention_heads", "cross_num_attention_heads",
        "cross_num_key_value_heads", "mit_num_attention_heads", "num_register_tokens", "resampler_n_heads", "prompt_num_attention_heads",
    ),
    8: (
        "linear_head_dim", "index_head_dim", "global_head_dim", "swa_head_dim", "cross_head_dim", "num_latents",
        "latent_query_num", "num_query_tokens", "num_queries", "resampler_n_latents", "resampler_head_dim", "index_topk",
        "prediction_length", "hidden_size_per_layer_input",
    ),
    32: (
        "out_hidden_size", "text_hidden_size", "encoder_hidden_size", "hidden_size_global", "projector_hidden_size",
        "projection_hidden_dim", "adapter_in_dim", "adapter_out_dim", "adapter_input_size", "backbone_hidden_size",
        "cross_hidden_size", "decoder_hidden_size", "shared_intermediate_size", "dense_intermediate_size",
        "expert_ffn_hidden_size", "mit_hidden_size", "mit_intermediate_size", "pred_hidden_size", "hidden_dim", "dit_hidden_size",
        "decoder_intermediate_size", "context_length", "max_length", "conf_hidden_size", "upsample_groups", "audio_hs",
        "audio_hidden_size", "conv_dim", "mask_dim", "encoder_hidden_dim", "class_embed_dim", "crop_size",
        "projection_intermediate_size", "shared_experts_intermediate_size", "prompt_intermediate_size", "fusion_hidden_size",
    ),
    64: ("max_length", "num_position_embeddings", "position_embedding_size", "max_img_size"),
    99: ("vocab_size_per_layer_input", "text_vocab_size", "codebook_size", "input_vocab_size", "text_encoder_vocab_size", "codebook_vocab_size"),
}
CONSTRUCTED: tuple[Mapping[str, Any], ...] = tuple(
    SIZES | {name: size for size, names in OTHERS.items() for name in names} | variant
    for variant in (
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 4, "head_dim": 16, "hidden_size": 64, "out_hidden_size": 64},
        {"embed_dim": None, "hidden_size": None, "num_heads": None, "image_size": 224, "depths": None, "patch_size": None},
    )
)
"""Sizes of configurations that are constructed."""
PLACES = {f"{kind}_token_{end}": kind for kind in PLACEHOLDERS for end in ("id", "index")}
MORE: Mapping[str, Mapping[str, Any]] = {}
"""Sizes of single constructed configurations."""

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


def build(name: str, sizes: Mapping[str, int | None], layout: int | None) -> tuple[Any, Example]:
    """Return a small model with random weights, and inputs.

    Raises:
        ValueError: it has too many parameters.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[name](**SMALL.get(name, {}))
    if name not in SMALL:
        shrink(config, sizes)
    model = small_model(config)
    return model, inputs(model.eval(), layout)


def small_model(config: Any) -> Any:
    """Return the model of a configuration with random weights.

    Raises:
        ValueError: it has too many parameters.
    """
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    found = MODEL_MAPPING[type(config)]
    cls: Any = found[0] if isinstance(found, tuple) else found
    with torch.device("meta"):
        check_size(cls._from_config(copy.deepcopy(config)))
    return cls._from_config(config, attn_implementation="eager")


def construct(cls: Any, default: Any, sizes: Mapping[str, Any]) -> Any:
    """Return a configuration whose fields, and those of configurations within it, have small values from the start.

    Other than by `shrink`, fields that are derived from them follow.
    """
    from transformers import PretrainedConfig

    fields: dict[str, Any] = {}
    for name, value in vars(default).items():
        if isinstance(value, PretrainedConfig):
            fields[name] = construct(type(value), value, sizes)
        elif name in PLACES:
            fields[name] = PLACEHOLDERS[PLACES[name]]
        elif name.endswith(("token_id", "token_index", "_id")) and isinstance(value, int):
            fields[name] = 1
        elif name.endswith("layer_types") and value:
            fields[name] = kinds(value, sizes["num_hidden_layers"])
        elif sizes.get(name) is not None and not isinstance(value, bool | str):
            several = isinstance(value, list | tuple) and not isinstance(sizes[name], list | tuple)
            fields[name] = [sizes[name]] * len(value) if several else sizes[name]
        elif name == "rope_parameters" and value:
            fields[name] = sections(value, sizes["head_dim"])
    known = inspect.signature(cls.__init__).parameters
    return cls(**{name: value for name, value in fields.items() if name in known or name.endswith("_config")})


def kinds(layers: list[str], count: int) -> list[str]:
    """Return the kinds of some layers of many: several, and softmax attention among them."""
    found = [*dict.fromkeys(layers)]
    attention = [kind for kind in found if "attention" in kind and "linear" not in kind]
    chosen = [*dict.fromkeys([found[0], *attention, *found])][:count]
    return [*chosen, *[chosen[-1]] * (count - len(chosen))]


def sections(rope: Mapping[str, Any], head_dim: int) -> dict[str, Any]:
    """Return parameters of rotations whose sections fill a small head."""
    changed = {name: sections(item, head_dim) if isinstance(item, dict) else item for name, item in rope.items()}
    if "mrope_section" in rope:
        half = int(head_dim * rope.get("partial_rotary_factor", 1)) // 2
        changed["mrope_section"] = [half - half // 4 * 2, half // 4, half // 4]
    return changed


def build_constructed(name: str, sizes: Mapping[str, Any], layout: int) -> tuple[Any, Example]:
    """Return a small model of a constructed configuration, and all inputs that it names, in one of the layouts.

    Raises:
        ValueError: it has too many parameters.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    cls = CONFIG_MAPPING[name]
    model = small_model(construct(cls, cls(), {**sizes, **MORE.get(name, {})}))
    return model, inputs(model.eval(), layout)


def transformers_candidates(name: str) -> Iterator[Candidate]:
    """Yield variants of a small model, with inputs."""
    constructed = [partial(build_constructed, name, sizes, layout) for sizes in CONSTRUCTED for layout in LAYOUTS]
    shrunk = [partial(build, name, {**SIZES, **variant}, layout) for variant in VARIANTS for layout in (None, 0)]
    yield from (*constructed, *shrunk) if name in MORE or has_parts(name) else (*shrunk[:-2], *constructed, *shrunk[-2:])


def has_parts(name: str) -> bool:
    """Whether a model has parts of other modalities, which it does not need for text."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return name not in SMALL and any(part.endswith("_config") for part in CONFIG_MAPPING[name].sub_configs)
