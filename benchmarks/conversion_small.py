"""Small configurations of architectures of transformers whose sizes depend on each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

NO_FORWARD = "its base model has no `forward`"
UNTRIED: Mapping[str, str] = {
    "bark": NO_FORWARD,
    "dinat": "needs the package natten",
    "glm_image_vqmodel": NO_FORWARD,
    "layoutlmv2": "needs the package detectron2",
    "sam3_video": "its `forward` takes a session of a video, with its states, in place of tensors",
    "voxtral_realtime_text": "transformers lists it, and has no such class",
}
"""Reasons why architectures cannot be tried."""
