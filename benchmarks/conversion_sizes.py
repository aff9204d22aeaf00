"""Small sizes of the fields of transformers' configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conversion_inputs import PLACEHOLDERS

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
    1: ("num_expert_group", "num_attention_layers", "num_groups", "n_shared_experts", "indexer_kv_heads"),
    2: (
        "num_experts_per_token",
        "moe_topk",
        "moe_top_k",
        "moe_k",
        "zero_expert_num",
        "num_codebooks",
        "n_codebooks",
        "num_quantizers",
        "x_layers",
        "l_layers",
        "r_layers",
        "layers",
        "num_layers_per_stack",
        "text_encoder_num_layers",
        "resampler_depth",
        "memory_attention_num_layers",
        "pred_num_hidden_layers",
        "top_k_experts",
        "index_kpool",
        "indexer_compress_ratio",
        "num_spatial_layers",
        "num_temporal_layers",
        "num_auxiliary_layers",
        "conf_num_hidden_layers",
        "swa_num_key_value_heads",
    ),
    4: (
        "linear_num_heads",
        "index_n_heads",
        "indexer_n_heads",
        "num_queries",
        "latent_query_num",
        "moe_num_experts",
        "attention_heads",
        "decoder_self_attention_heads",
        "decoder_cross_attention_heads",
        "conf_num_attention_heads",
        "swa_num_attention_heads",
        "num_frames",
        "frames_per_clip",
        "pred_num_attention_heads",
        "decoder_num_attention_heads",
        "cross_num_attention_heads",
        "cross_num_key_value_heads",
        "mit_num_attention_heads",
        "num_register_tokens",
        "resampler_n_heads",
        "prompt_num_attention_heads",
    ),
    8: (
        "linear_head_dim",
        "index_head_dim",
        "global_head_dim",
        "swa_head_dim",
        "cross_head_dim",
        "num_latents",
        "num_query_tokens",
        "indexer_head_dim",
        "indexer_budget",
        "resampler_n_latents",
        "resampler_head_dim",
        "index_topk",
        "prediction_length",
        "hidden_size_per_layer_input",
    ),
    32: (
        "out_hidden_size",
        "text_hidden_size",
        "encoder_hidden_size",
        "hidden_size_global",
        "projector_hidden_size",
        "projection_hidden_dim",
        "adapter_in_dim",
        "adapter_out_dim",
        "adapter_input_size",
        "backbone_hidden_size",
        "cross_hidden_size",
        "decoder_hidden_size",
        "shared_intermediate_size",
        "dense_intermediate_size",
        "expert_ffn_hidden_size",
        "mit_hidden_size",
        "mit_intermediate_size",
        "pred_hidden_size",
        "hidden_dim",
        "decoder_intermediate_size",
        "context_length",
        "context_size",
        "max_length",
        "conf_hidden_size",
        "upsample_groups",
        "audio_hidden_size",
        "conv_dim",
        "mask_dim",
        "encoder_hidden_dim",
        "class_embed_dim",
        "crop_size",
        "projection_intermediate_size",
        "shared_experts_intermediate_size",
        "prompt_intermediate_size",
        "fusion_hidden_size",
    ),
    64: ("codebook_size", "num_position_embeddings", "position_embedding_size", "max_img_size"),
    99: (
        "vocab_size_per_layer_input",
        "text_vocab_size",
        "input_vocab_size",
        "text_encoder_vocab_size",
        "codebook_vocab_size",
    ),
}
CONSTRUCTED: tuple[Mapping[str, Any], ...] = tuple(
    SIZES | {name: size for size, names in OTHERS.items() for name in names} | variant
    for variant in (
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 4, "head_dim": 16, "hidden_size": 64, "out_hidden_size": 64},
        {
            "embed_dim": None,
            "hidden_size": None,
            "num_heads": None,
            "image_size": 224,
            "depths": None,
            "patch_size": None,
        },
    )
)
"""Sizes of configurations that are constructed."""
PLACES = {f"{kind}_token_{end}": kind for kind in PLACEHOLDERS for end in ("id", "index")}
OF_LAYERS = {"intermediate_size", "moe_intermediate_size"}
"""Fields that may be lists with an item for each layer."""
STAGES = {"out_features": ["stage2", "stage3", "stage4"], "decoder_in_channels": [32, 32, 32]}
MORE: Mapping[str, Mapping[str, Any]] = {
    "chameleon": {
        "vocabulary_map": {
            "<image>": 91,
            **{f"IMGIMG{chr(65 + i // 10)}{chr(65 + i % 10)}Z": i + 10 for i in range(64)},
        }
    }
    | {"num_embeddings": 64, "base_channels": 32, "latent_channels": 32, "resolution": 32},
    "clap": {"patch_embeds_hidden_size": 4},
    "cohere_compass": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}}
    },
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}}
    },
    "d_fine": STAGES,
    "deimv2": STAGES,
    "depth_pro": {"patch_size": 32, "intermediate_hook_ids": [1, 0], "intermediate_feature_dims": [32, 32]}
    | {"scaled_images_feature_dims": [32, 32, 32]}
    | {f"{part}_model_config": {"patch_size": 8} for part in ("image", "patch", "fov")},
    "edgetam_vision_model": {"backbone_config": {"architecture": "repvit_m1"}},
    "fun_asr_nano_encoder": {"max_position_embeddings": 256},
    "gemma4": {"parts": True},
    "glm5_next": {"qk_rope_head_dim": 0},
    "glm5_next_text": {"qk_rope_head_dim": 0},
    "hrm_text": {"num_hidden_layers": None, "use_cache": False},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "lw_detr": {"image_size": 64, "num_windows": 4, "num_windows_side": 2, "window_block_indices": [0]}
    | {"out_features": ["stage1", "stage2"], "projector_scale_factors": [1.0], "num_feature_levels": 1},
    "muse_spark_audio": {"num_hidden_layers": 4, "hidden_sizes": [8, 8, 16, 32], "depths": [1, 1, 1, 1]},
    "musicgen": {"part": "decoder", "num_codebooks": 1},
    "musicgen_melody": {"part": "decoder", "num_codebooks": 1},
    "neucodec": {"quantization_dim": 64},
    "qwen2_5_omni_thinker": {"attributes": {"vision_start_token_id": 90}},
    "qwen3_omni_moe_thinker": {"attributes": {"vision_start_token_id": 90}},
    "nemotron3_5_transcribe_audio": {"num_mel_bins": 128},
    "pp_doclayout_v3": STAGES | {"out_features": ["stage1", "stage2", "stage3", "stage4"]},
    "pp_doclayout_v4": STAGES,
    "rt_detr": STAGES,
    "rt_detr_v2": STAGES,
    "speecht5": {"num_mel_bins": 32},
}
"""Sizes of single constructed configurations."""
