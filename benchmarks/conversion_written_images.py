"""Configurations and inputs, written out, of architectures of images."""

from __future__ import annotations

import torch
from conversion_pieces import LLM, VIT, WIDTH, Written, real, tokens, with_places

PROMPTS = {
    "prompt_encoder_config": {"hidden_size": 32, "image_size": 128},
    "mask_decoder_config": {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 4, "iou_head_hidden_dim": 32},
}
OCR = {
    "model_type": "pp_lcnet_v4",
    "stem_channels": [3, 8, 8],
    "block_configs": [[[3, 8, 8, 1, True]], [[3, 8, 8, 2, False]], [[3, 8, 16, 2, False]], [[3, 16, 32, 2, True]]],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
OCR_CONVOLUTIONS = {"reduce_channel": (1, 1, 0), "return_channel": (1, 1, 0)} | {
    f"{direction}_{ratio}ratio": (size(k), 1, tuple(side // 2 for side in size(k)))
    for direction, size in (
        ("vertical_long_to_small_conv", lambda k: (k, 1)),
        ("horizontal_small_to_long_conv", lambda k: (1, k)),
        ("symmetric_conv_long", lambda k: (k, k)),
    )
    for ratio, k in (("long", 7), ("mid", 5), ("short", 3))
}
SMALL_MOBILE = {"model_type": "gemma3n_vision", "model_args": {"channel_multiplier": 0.125, "msfa_indices": [-2, -1]}}

OF_IMAGES: Written = {
    "oneformer": (
        {
            "backbone_config": {"model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4]}
            | {"image_size": 64, "window_size": 2, "out_features": ["stage1", "stage2", "stage3", "stage4"]},
            "num_queries": 4,
            "text_encoder_width": 32,
            "text_encoder_num_layers": 2,
            "text_encoder_vocab_size": 99,
            "task_seq_len": 7,
            "encoder_layers": 2,
            "decoder_layers": 3,
            "num_attention_heads": 4,
            **dict.fromkeys(("conv_dim", "mask_dim", "hidden_dim", "dim_feedforward", "encoder_feedforward_dim"), 32),
        },
        lambda: {"pixel_values": real(2, 3, 64, 64), "task_inputs": tokens(2, 7).float()},
    ),
    "seggpt": (
        WIDTH
        | {"image_size": (32, 16), "patch_size": 4, "mlp_dim": 32, "pretrain_image_size": 16}
        | {"merge_index": 0, "intermediate_hidden_state_indices": [0, 1], "decoder_hidden_size": 16},
        lambda: {name: real(2, 3, 16, 16) for name in ("pixel_values", "prompt_pixel_values", "prompt_masks")},
    ),
    "tvp": (
        WIDTH
        | {"backbone_config": {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8, 16, 32]}}
        | {"max_img_size": 128, "num_frames": 2, "visual_prompt_size": 8, "vocab_size": 99},
        lambda: {
            "input_ids": tokens(1, 7),
            "attention_mask": torch.ones(1, 7).long(),
            "pixel_values": real(1, 2, 3, 128, 128),
        },
    ),
    "sam2": (
        {
            "vision_config": {
                "backbone_config": {
                    "model_type": "sam2_hiera_det_model",
                    "hidden_size": 8,
                    "image_size": [128, 128],
                    "blocks_per_stage": [1, 2, 1, 1],
                }
                | {"embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 2, 4, 4]}
                | {"window_size_per_stage": [8, 4, 8, 4], "global_attention_blocks": [2], "num_attention_heads": 1},
                "backbone_channel_list": [64, 32, 16, 8],
                "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
                "fpn_hidden_size": 32,
            },
            **PROMPTS,
        },
        lambda: {"pixel_values": real(2, 3, 128, 128), "input_points": real(2, 1, 2, 2).abs() * 64},
    ),
    "edgetam": (
        {
            "vision_config": {
                "backbone_config": {"model_type": "timm_wrapper", "architecture": "repvit_m1", "num_classes": 2}
                | {"model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}},
                "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
                "fpn_hidden_size": 32,
            },
            **PROMPTS,
        },
        lambda: {"pixel_values": real(2, 3, 128, 128), "input_points": real(2, 1, 2, 2).abs() * 64},
    ),
    "inkling2_vision": (
        WIDTH | {"patch_size": 4, "projection_hidden_dim": 32, "text_hidden_size": 32, "posemb_grid_size": 8},
        lambda: {"pixel_values": real(32, 8, 8, 3), "image_grid_thw": torch.tensor([[1, 4, 4]] * 2)},
    ),
    "perception_lm": (
        {
            "text_config": {"model_type": "llama", **LLM},
            "vision_config": VIT | {"model_args": {"embed_dim": 192, "depth": 2, "global_pool": ""}},
            "projector_pooling_ratio": 2,
            "image_token_id": 91,
        },
        lambda: {"input_ids": with_places(91, 144), "pixel_values": real(2, 1, 3, 384, 384)},
    ),
    "pi0": (
        {
            "vlm_config": {
                "model_type": "paligemma",
                "text_config": {"model_type": "gemma", **LLM},
                "projection_dim": 32,
            }
            | {"vision_config": {"model_type": "siglip_vision_model", **WIDTH, "image_size": 32, "patch_size": 8}}
            | {"image_token_index": 91},
            "dit_config": {"model_type": "gemma", **LLM},
            "chunk_size": 4,
        },
        lambda: {
            "input_ids": with_places(91, 16),
            "attention_mask": torch.ones(2, 23).long(),
            "pixel_values": real(2, 1, 3, 32, 32),
            "pixel_attention_mask": torch.ones(2, 1).bool(),
            "action_embeds": real(2, 4, 32),
        },
    ),
    "swin2sr": (
        {"image_size": 16, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4},
        lambda: {"pixel_values": real(2, 3, 16, 16)},
    ),
    "align": (
        {
            "text_config": WIDTH | {"vocab_size": 99},
            "vision_config": {"image_size": 32, "width_coefficient": 0.5, "depth_coefficient": 0.5, "hidden_dim": 32},
            "projection_dim": 160,
        },
        lambda: {"input_ids": tokens(2, 7), "pixel_values": real(2, 3, 32, 32)},
    ),
    "uvdoc": (
        {
            "backbone_config": {
                "model_type": "uvdoc_backbone",
                "resnet_head": [[3, 8], [8, 8]],
                "resnet_configs": [[[8, 8, 1, False]], [[8, 16, 3, True]]],
                "stage_configs": [[[16, 1]], [[16, 2]]],
                "out_features": ["stage1", "stage2"],
            },
            "bridge_connector": [16, 16],
            "out_point_positions2D": [[16, 8], [8, 2]],
        },
        lambda: {"pixel_values": real(2, 3, 64, 64)},
    ),
    "deepseek_ocr2": (
        {
            "text_config": LLM
            | {"mlp_layer_types": ["dense", "sparse"], "n_routed_experts": 4, "num_experts_per_tok": 2}
            | {"moe_intermediate_size": 16, "n_shared_experts": 1},
            "vision_config": {
                "sam_config": WIDTH
                | {
                    "image_size": 1024,
                    "patch_size": 16,
                    "output_channels": 16,
                    "window_size": 4,
                    "global_attn_indexes": [1],
                }
                | {"downsample_channels": [16, 32], "mlp_dim": 32},
                "encoder_config": LLM,
            },
            "image_token_id": 91,
        },
        lambda: {
            "input_ids": with_places(91, 257)[:1],
            "pixel_values": real(1, 3, 1024, 1024),
            "num_local_patches": torch.zeros(1).long(),
        },
    ),
    "diffusion_gemma": (
        {
            "text_config": LLM
            | {"layer_types": ["sliding_attention", "full_attention"], "num_experts": 4, "top_k_experts": 2}
            | {"moe_intermediate_size": 16, "sliding_window": 4},
            "vision_config": {"model_type": "gemma4_vision", **LLM, "patch_size": 4},
            "canvas_length": 5,
        },
        lambda: {"input_ids": tokens(2, 7), "decoder_input_ids": tokens(2, 5)},
    ),
    "granite4_vision": (
        {
            "text_config": LLM | {"num_hidden_layers": 4},
            "vision_config": {
                "model_type": "clip_vision_model",
                **WIDTH,
                "hidden_size": 64,
                "image_size": 32,
                "patch_size": 8,
            },
            "qformer_config": {"model_type": "blip_2_qformer", **WIDTH, "num_hidden_layers": 1}
            | {"hidden_size": 64, "encoder_hidden_size": 64},
            "downsample_rate": "1/2",
            "deepstack_layer_map": [[-1, 0]],
            "spatial_target_layers": [0, 1, 2, 3],
            "image_grid_pinpoints": [[32, 32]],
            "image_token_index": 91,
        },
        lambda: {
            "input_ids": with_places(91, 10),
            "pixel_values": real(2, 2, 3, 32, 32),
            "image_sizes": torch.tensor([[32, 32]] * 2),
        },
    ),
    "efficientloftr": (
        {"stage_num_blocks": [1, 1, 1, 1], "out_features": [8, 8, 16, 32], "hidden_size": 32, "num_attention_heads": 8}
        | {"num_attention_layers": 2},
        lambda: {"pixel_values": real(1, 2, 3, 64, 64)},
    ),
    "pp_ocrv6_small_det": (
        {"backbone_config": OCR, "layer_list_out_channels": [8, 8, 16, 32]},
        lambda: {"pixel_values": real(2, 3, 64, 64)},
    ),
    "pp_ocrv6_medium_det": (
        {"backbone_config": OCR, "neck_out_channels": 32, "kernel_list": [3, 2, 2], "scale_factor_list": [1, 2, 4, 8]}
        | {"intraclass_block_config": OCR_CONVOLUTIONS},
        lambda: {"pixel_values": real(2, 3, 64, 64)},
    ),
    "emu3": (
        {
            "text_config": LLM | dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 1),
            "vq_config": {"base_channels": 32, "hidden_size": 64, "num_res_blocks": 1, "codebook_size": 64}
            | {"channel_multiplier": [1, 1, 2, 2]},
            "vocabulary_map": {
                "<image>": 91,
                "<|extra_200|>": 90,
                **{f"<|visual token {i:06d}|>": i + 10 for i in range(64)},
            },
        },
        lambda: {
            "input_ids": with_places(91, 20),
            "pixel_values": real(2, 3, 32, 32),
            "image_sizes": torch.tensor([[32, 32]] * 2),
        },
    ),
    "glm_image": (
        {
            "text_config": LLM
            | {
                "pad_token_id": 1,
                "vision_vocab_size": 99,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e4} | {"mrope_section": [2, 1, 1]},
            },
            "vision_config": {"depth": 2, "hidden_size": 32, "num_heads": 4, "image_size": 32, "patch_size": 8}
            | {"intermediate_size": 32},
            "vq_config": {"embed_dim": 32, "num_embeddings": 64, "latent_channels": 32},
            "image_token_id": 91,
        },
        lambda: {
            "input_ids": with_places(91, 16),
            "pixel_values": real(32, 192),
            "image_grid_thw": torch.tensor([[1, 4, 4]] * 4),
            "images_per_sample": torch.tensor([2, 2]),
        },
    ),
    "gemma3n_vision": (SMALL_MOBILE, lambda: {"pixel_values": real(2, 3, 64, 64)}),
    "gemma3n": (
        {
            "text_config": LLM
            | {
                "layer_types": ["sliding_attention", "full_attention"],
                "sliding_window": 4,
                "intermediate_size": [32, 32],
            }
            | {"vocab_size_per_layer_input": 99, "hidden_size_per_layer_input": 8, "num_kv_shared_layers": 0}
            | {"activation_sparsity_pattern": [0.5, 0.0], "laurel_rank": 8},
            "vision_config": SMALL_MOBILE | {"vocab_offset": 85, "vocab_size": 8},
            "audio_config": {"hidden_size": 32, "conf_num_attention_heads": 4, "conf_num_hidden_layers": 2}
            | {"vocab_offset": 93, "vocab_size": 6, "input_feat_size": 16, "sscp_conv_channel_size": [8, 4]},
            "vision_soft_tokens_per_image": 256,
            "image_token_id": 91,
            "audio_token_id": 93,
        },
        lambda: {"input_ids": with_places(91, 256), "pixel_values": real(2, 3, 64, 64)},
    ),
    "timm_backbone": (
        {"backbone": "resnet18", "out_indices": [-1]},
        lambda: {"pixel_values": real(2, 3, 64, 64)},
    ),
    "omdet-turbo": (
        {
            "backbone_config": {"model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4]}
            | {"image_size": 64, "window_size": 2, "out_indices": [2, 3, 4]},
            "use_timm_backbone": False,
            "text_config": {"model_type": "clip_text_model", **WIDTH, "hidden_size": 16, "vocab_size": 99}
            | dict.fromkeys(("bos_token_id", "eos_token_id"), 2),
            "apply_layernorm_after_vision_backbone": False,
            "image_size": 64,
            "vision_features_channels": [32, 32, 32],
            "encoder_in_channels": [16, 32, 64],
            "encoder_attention_heads": 4,
            "decoder_num_heads": 4,
            "decoder_num_layers": 2,
            "num_queries": 4,
            **dict.fromkeys(("d_model", "decoder_hidden_dim", "encoder_dim_feedforward"), 32),
            **dict.fromkeys(
                ("text_projection_in_dim", "text_projection_out_dim", "task_encoder_hidden_dim", "class_embed_dim"), 16
            ),
            "decoder_dim_feedforward": 32,
        },
        lambda: {
            "pixel_values": real(2, 3, 64, 64),
            "classes_input_ids": tokens(4, 5),
            "classes_attention_mask": torch.ones(4, 5).long(),
            "classes_structure": torch.tensor([2, 2]),
            "tasks_input_ids": tokens(2, 5),
            "tasks_attention_mask": torch.ones(2, 5).long(),
        },
    ),
    "t5gemma2_encoder": (
        {
            "text_config": LLM
            | {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 4, "dropout_rate": 0.0},
            "vision_config": {"model_type": "siglip_vision_model", **WIDTH, "image_size": 32, "patch_size": 8},
            "mm_tokens_per_image": 4,
            "image_token_index": 91,
        },
        lambda: {"input_ids": with_places(91, 4), "pixel_values": real(2, 3, 32, 32)},
    ),
}
