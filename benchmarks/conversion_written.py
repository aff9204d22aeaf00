"""Configurations and inputs, written out, of architectures of texts, series, sounds and videos."""

from __future__ import annotations

import torch
from conversion_pieces import LLM, VIT, WIDTH, Written, real, tokens, with_places

CODEC = {"num_filters": 4, "downsampling_ratios": (2, 2, 4), "depths": (1, 1, 1, 1)}
DAC = {"model_type": "dac", "encoder_hidden_size": 8, "decoder_hidden_size": 32, "downsampling_ratios": [2, 4]} | {
    "upsampling_ratios": [4, 2],
    "codebook_size": 64,
    "n_codebooks": 2,
    "codebook_dim": 8,
    "hidden_size": 32,
}
MODERN = {"model_type": "modernbert", **WIDTH, "vocab_size": 99, "pad_token_id": 0}
RATIOS = [8, 5, 4, 2, 3]
QWEN = {"model_type": "qwen2", **LLM}

OF_SEQUENCES: Written = {
    "blt": (
        LLM
        | {"encoder_hash_byte_group_vocab": 99, "encoder_hash_byte_group_size": [3, 4]}
        | {f"{part}_config": LLM | {"hidden_size_global": 64} for part in ("patcher", "encoder", "decoder")}
        | {"global_config": LLM | {"hidden_size": 64, "head_dim": 16}},
        lambda: {"input_ids": tokens(2, 12)},
    ),
    "timesfm": (
        WIDTH | {"head_dim": 8, "patch_length": 8, "context_length": 32, "horizon_length": 8},
        lambda: {
            "past_values": real(2, 32),
            "past_values_padding": torch.zeros(2, 32),
            "freq": torch.zeros(2, 1).long(),
        },
    ),
    "timesfm2_5": (
        WIDTH | {"num_key_value_heads": 4, "head_dim": 8, "patch_length": 8, "context_length": 32, "horizon_length": 8},
        lambda: {"past_values": real(2, 32)},
    ),
    "xlstm": (
        {"hidden_size": 32, "embedding_dim": 32, "num_hidden_layers": 2, "num_blocks": 2, "num_heads": 4}
        | {"vocab_size": 99, "chunk_size": 4, "mode": "train", "ffn_round_up_to_multiple_of": 8},
        lambda: {"input_ids": tokens(2, 8), "use_cache": False},
    ),
    "xcodec2": (
        LLM
        | {"num_key_value_heads": 4}
        | {"semantic_model_config": {"model_type": "wav2vec2-bert", **WIDTH, "output_hidden_size": 32}}
        | {"encoder_hidden_size": 4, "downsampling_ratios": (2, 2, 4, 4, 5), "quantization_dim": 64},
        lambda: {"input_values": real(2, 1, 1920), "input_features": real(2, 6, 160)},
    ),
    "granite_speech5_encoder": (
        WIDTH | {"num_key_value_heads": 4, "head_dim": 8, "context_size": 8, "vocab_size": 99, "num_mel_bins": 8},
        lambda: {"input_features": real(2, 32, 32)},
    ),
    "granite_speech5_ctc": (
        {
            "vocab_size": 99,
            "encoder_config": WIDTH
            | {"num_key_value_heads": 4, "head_dim": 8, "context_size": 8}
            | {"vocab_size": 99, "num_mel_bins": 8},
        },
        lambda: {"input_features": real(2, 32, 32)},
    ),
    "higgs_audio_v2_tokenizer": (
        {
            "acoustic_model_config": DAC | {"downsampling_ratios": RATIOS, "upsampling_ratios": RATIOS},
            "semantic_model_config": {
                "model_type": "hubert",
                **WIDTH,
                "conv_dim": (8,) * 7,
                "num_conv_pos_embeddings": 8,
            }
            | {"num_conv_pos_embedding_groups": 4},
            "codebook_size": 64,
            "codebook_dim": 8,
        },
        lambda: {"input_values": real(2, 1, 4800)},
    ),
    "moonshine_streaming": (
        LLM
        | {
            "num_key_value_heads": 4,
            "encoder_config": WIDTH | {"num_key_value_heads": 4, "head_dim": 8, "sliding_windows": [[4, 2], [4, 0]]},
        },
        lambda: {"input_values": real(2, 1600), "decoder_input_ids": tokens(2, 5)},
    ),
    "muse_glimmer_assistant": (
        LLM | {"target_layer_ids": [0, 1], "block_size": 4, "layer_types": ["sliding_attention"] * 2},
        lambda: {"noise_embeds": real(2, 4, 32), "context_hidden_states": real(2, 7, 64)},
    ),
    "pe_video": (
        {"text_config": MODERN, "video_config": LLM | {"vision_config": VIT}},
        lambda: {"input_ids": tokens(2, 7), "pixel_values_videos": real(2, 2, 3, 384, 384)},
    ),
    "pe_video_encoder": (LLM | {"vision_config": VIT}, lambda: {"pixel_values_videos": real(2, 2, 3, 384, 384)}),
    "pe_audio_video": (
        {
            "text_config": MODERN,
            "audio_video_config": LLM
            | {"audio_config": LLM | {"dac_config": DAC}, "video_config": LLM | {"vision_config": VIT}},
        },
        lambda: {"input_values": real(2, 1, 64), "pixel_values_videos": real(2, 2, 3, 384, 384)},
    ),
    "pe_audio_video_encoder": (
        LLM | {"audio_config": LLM | {"dac_config": DAC}, "video_config": LLM | {"vision_config": VIT}},
        lambda: {"input_values": real(2, 1, 64), "pixel_values_videos": real(2, 2, 3, 384, 384)},
    ),
    "vibevoice_acoustic_tokenizer": ({**CODEC, "hidden_size": 16}, lambda: {"input_values": real(2, 1, 320)}),
    "vibevoice_acoustic_tokenizer_encoder": ({**CODEC, "hidden_size": 16}, lambda: {"hidden_states": real(2, 1, 320)}),
    "vibevoice_acoustic_tokenizer_decoder": ({**CODEC, "hidden_size": 16}, lambda: {"hidden_states": real(2, 16, 5)}),
    "vibevoice_asr": (
        {
            "text_config": QWEN,
            "acoustic_tokenizer_encoder_config": {
                "model_type": "vibevoice_acoustic_tokenizer_encoder",
                **CODEC,
                "hidden_size": 16,
            },
            "semantic_tokenizer_encoder_config": {
                "model_type": "vibevoice_acoustic_tokenizer_encoder",
                **CODEC,
                "hidden_size": 16,
            },
            "audio_token_id": 93,
            "acoustic_tokenizer_chunk_size": 320,
        },
        lambda: {"input_ids": with_places(93, 20), "input_values": real(2, 1, 320)},
    ),
    "voxtral_realtime": (
        {
            "text_config": {"model_type": "voxtral_realtime_text", **LLM, "sliding_window": 4},
            "audio_config": {"model_type": "voxtral_realtime_encoder", **WIDTH, "head_dim": 8, "sliding_window": 8}
            | {"num_mel_bins": 8, "intermediate_size": 128},
            "hidden_size": 32,
        },
        lambda: {"input_ids": tokens(2, 7), "input_features": real(2, 8, 56), "num_delay_tokens": 2},
    ),
    "vibevoice": (
        {
            "text_config": QWEN,
            "audio_config": {"model_type": "vibevoice_acoustic_tokenizer", **CODEC, "hidden_size": 16},
            "semantic_model_config": {"model_type": "vibevoice_acoustic_tokenizer_encoder", **CODEC, "hidden_size": 16},
            "diffusion_head_config": {
                "hidden_size": 32,
                "latent_size": 16,
                "num_hidden_layers": 2,
                "intermediate_size": 32,
            }
            | {"frequency_embedding_size": 32},
            "audio_token_id": 93,
            "vocab_size": 99,
            **dict.fromkeys(("pad_token_id", "eos_token_id", "audio_bos_token_id", "audio_eos_token_id"), 1),
        },
        lambda: (
            {"input_ids": with_places(93, 20), "input_values": real(2, 1, 320), "sample": False}
            | {"padding_mask": torch.ones(2, 320).long()}
        ),
    ),
    "dbrx": (
        {
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 2,
            "vocab_size": 99,
            "max_seq_len": 64,
            "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
        }
        | {"ffn_config": {"hidden_size": 32, "ffn_hidden_size": 32, "moe_top_k": 2}},
        lambda: {"input_ids": tokens(2, 7)},
    ),
}
