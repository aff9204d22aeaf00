"""Small models of open_clip with random weights, with images and texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from conversion_libraries import Candidate, Example, noise
from torch import nn

VIT: Mapping[str, Any] = {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 8}
TEXT: Mapping[str, Any] = {"context_length": 7, "vocab_size": 99, "width": 32, "heads": 4, "layers": 2}
OPEN_CLIP: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ViT": ("CLIP", {"vision_cfg": VIT, "text_cfg": TEXT}),
    "ViT, attention pooling": (
        "CLIP",
        {"vision_cfg": {**VIT, "attentional_pool": True, "attn_pooler_heads": 4}, "text_cfg": TEXT},
    ),
    "ViT, sine positions": ("CLIP", {"vision_cfg": {**VIT, "pos_embed_type": "sin_cos_2d"}, "text_cfg": TEXT}),
    "ModifiedResNet": (
        "CLIP",
        {"vision_cfg": {"image_size": 32, "layers": (1, 1, 1, 1), "width": 16, "head_width": 8}, "text_cfg": TEXT},
    ),
    "timm ConvNeXt": (
        "CLIP",
        {"vision_cfg": {"image_size": 32, "timm_model_name": "test_convnext", "timm_pool": ""}, "text_cfg": TEXT},
    ),
    "timm SigLIP": (
        "CustomTextCLIP",
        {
            "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"},
            "text_cfg": {**TEXT, "no_causal_mask": True, "pool_type": "last"},
            "embed_dim": 64,
        },
    ),
    "CoCa": (
        "CoCa",
        {
            "multimodal_cfg": {**TEXT, "attn_pooler_heads": 4},
            "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True, "pad_id": 0},
            "vision_cfg": {**VIT, "attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
        },
    ),
}
"""The class and the options of each."""


def open_clip_candidates(architecture: str) -> Iterator[Candidate]:
    """Yield the model with its inputs."""
    import open_clip

    name, options = OPEN_CLIP[architecture]

    def build(context: int) -> tuple[nn.Module, Example]:
        cls = getattr(open_clip, name)
        text = torch.randint(1, 90, (2, context), generator=torch.Generator().manual_seed(0))
        size = options["vision_cfg"]["image_size"]
        return cls(**{"embed_dim": 32, **options}), (noise(2, 3, size, size), text)

    for context in (7, 6):  # a class token takes one place
        yield partial(build, context)
