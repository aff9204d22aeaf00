"""Architectures of transformers that follow an object through a video, whose models take a session."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
from conversion_libraries import Example
from conversion_pieces import WIDTH, real, small_model
from conversion_written_images import OF_IMAGES, PROMPTS
from torch import Tensor, nn

SIZES = {
    "image_size": 128,
    "memory_attention_num_layers": 2,
    "memory_attention_rope_feat_sizes": [8, 8],
    **dict.fromkeys(("memory_attention_hidden_size", "memory_encoder_hidden_size", "mask_downsampler_embed_dim"), 128),
    **dict.fromkeys(("memory_attention_feed_forward_hidden_size", "memory_fuser_embed_dim"), 128),
    "memory_fuser_intermediate_dim": 128,
    **{part: {**fields, "hidden_size": 128} for part, fields in PROMPTS.items()},
}
TRACKERS: Mapping[str, Mapping[str, Any]] = {
    "sam2_video": {
        **SIZES,
        "vision_config": {
            "model_type": "sam2_vision_model",
            **OF_IMAGES["sam2"][0]["vision_config"],
            "fpn_hidden_size": 128,
        },
    },
    "edgetam_video": {
        **SIZES,
        "memory_attention_rope_k_sizes": [4, 4],
        "perceiver_resampler_num_latents": 16,
        "perceiver_resampler_num_latents_2d": 16,
        "vision_config": {
            "model_type": "edgetam_vision_model",
            **OF_IMAGES["edgetam"][0]["vision_config"],
            "fpn_hidden_size": 128,
        },
    },
    "sam3_tracker_video": {
        **SIZES,
        "image_size": 112,
        "vision_config": {
            "model_type": "sam3_vision_model",
            "backbone_config": WIDTH
            | {"image_size": 112, "window_size": 4, "global_attn_indexes": [1]}
            | {"pretrain_image_size": 112, "model_type": "sam3_vit_model"},
            "fpn_hidden_size": 128,
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        },
        "prompt_encoder_config": {"hidden_size": 128, "image_size": 112},
    },
}
"""The fields of configurations that are not their defaults."""


class Tracker(nn.Module):
    """Follows an object, which a point in the first frame marks, through a video."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        classes = vars(sys.modules[type(model).__module__])
        self.session = next(item for name, item in classes.items() if name.endswith("VideoInferenceSession"))

    def forward(self, video: Tensor, point: Tensor) -> list[Tensor]:
        """Return the masks and the scores of the object in the frames."""
        session = self.session(video, *video.shape[-2:], dtype=video.dtype)
        labels = torch.ones(point.shape[:-1], dtype=torch.int)
        session.add_point_inputs(session.obj_id_to_idx(1), 0, {"point_coords": point, "point_labels": labels})
        session.obj_with_new_inputs = [1]
        found = [self.model(session, frame) for frame in range(len(video))]
        return [item for frame in found for item in (frame.pred_masks, frame.object_score_logits)]


def build_tracker(name: str) -> tuple[nn.Module, Example]:
    """Return a small tracker, a video, and the point of an object."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    model = small_model(CONFIG_MAPPING[name](**TRACKERS[name]))
    side = TRACKERS[name]["image_size"]
    return Tracker(model.eval()), {"video": real(3, 3, side, side), "point": torch.full((1, 1, 1, 2), 40.0)}
