"""Small models of timm, torchvision, torchaudio and diffusers with random weights, and inputs that they may take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

Example = tuple[Any, ...] | dict[str, Any]
Candidate = Callable[[], tuple[nn.Module, Example]]
"""Builds a model, and inputs."""

MOST_PARAMETERS = 150_000_000
SIZES = 32, 64, 96, 128, 56, 224
"""Sizes of images that are tried in turn; sums over all pairs of pixels are slow."""
SMALL = "test", "atto", "femto", "pico", "nano", "xxs", "xx_small", "tiny", "18", "small"
"""Parts of names of small models, the smallest first."""


def check_size(model: nn.Module) -> None:
    """Refuse a large model.

    Raises:
        ValueError: it has too many parameters.
    """
    if (count := sum(item.numel() for item in model.parameters())) > MOST_PARAMETERS:
        raise ValueError(f"{count:,} parameters")


def noise(*shape: int) -> Tensor:
    """Return the same random numbers at each call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def timm_architectures() -> list[str]:
    """Return the names of timm's files of models."""
    import timm

    return list(timm.list_modules())


def timm_candidates(architecture: str) -> Iterator[Candidate]:
    """Yield the smallest models of a file by their names, with images."""
    import timm

    def size(name: str) -> int:
        return next((i for i, part in enumerate(SMALL) if part in name), len(SMALL))

    def build(name: str, size: int, options: Any) -> tuple[nn.Module, Example]:
        return timm.create_model(name, **options), (noise(1, 3, size, size),)

    small = {"embed_dim": 64, "depth": 2, "num_heads": 4}
    for name in sorted(timm.list_models(module=architecture), key=size)[:2]:
        for named, image in product((True, False), SIZES):
            options = {"img_size": image} if named else {}
            yield partial(build, name, image, options | small)
            yield partial(build, name, image, options)


def torchvision_architectures() -> list[str]:
    """Return the name of the smallest model of each of torchvision's files."""
    from torchvision import models

    smallest: dict[str, tuple[int, str]] = {}
    for name in models.list_models():
        family = models.get_model_builder(name).__module__
        size = min(weights.meta["num_params"] for weights in models.get_model_weights(name))
        if "quantization" not in family:
            smallest[family] = min(smallest.get(family, (size, name)), (size, name))
    return [name for _, name in smallest.values()]


def torchvision_candidates(architecture: str) -> Iterator[Candidate]:
    """Yield the model with images, videos and pairs of images."""
    from torchvision import models

    known = inspect.signature(models.get_model_builder(architecture)).parameters
    options = {name: None for name in ("weights", "weights_backbone") if name in known}

    def build(options: Any, example: Example) -> tuple[nn.Module, Example]:
        return models.get_model(architecture, **options), example

    for size in SIZES:
        image, video = noise(1, 3, size, size), noise(1, 3, 16 if size == max(SIZES) else 4, size, size)
        pairs: tuple[tuple[Example, Mapping[str, Any]], ...] = (
            ((image,), {"image_size": size}),
            ((image,), {}),
            (([image[0]],), {"min_size": size, "max_size": size}),
            (([image[0]],), {}),
            ((image,), {"input_size": (size, size)}),
            ((video,), {"spatial_size": (size, size), "temporal_size": 4}),
            ((video,), {}),
            ((image, image.flip(-1)), {}),
        )
        for example, more in pairs:
            yield partial(build, {**options, **more}, example)


WAVES: Mapping[str, Any] = {
    "extractor_mode": "group_norm",
    "extractor_conv_layer_config": [(32, 10, 5), (32, 3, 2)],
    "extractor_conv_bias": False,
    "encoder_embed_dim": 32,
    "encoder_projection_dropout": 0.0,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 2,
    "encoder_num_layers": 2,
    "encoder_num_heads": 4,
    "encoder_attention_dropout": 0.0,
    "encoder_ff_interm_features": 32,
    "encoder_ff_interm_dropout": 0.0,
    "encoder_dropout": 0.0,
    "encoder_layer_norm_first": False,
    "encoder_layer_drop": 0.0,
    "aux_num_out": None,
}
LENGTHS = torch.tensor([20, 12])
TORCHAUDIO: Mapping[str, tuple[Mapping[str, Any], Callable[[], tuple[Any, ...]]]] = {
    "Conformer": (
        {"input_dim": 32, "num_heads": 4, "ffn_dim": 32, "num_layers": 2, "depthwise_conv_kernel_size": 3},
        lambda: (noise(2, 20, 32), LENGTHS),
    ),
    "ConvTasNet": ({"msk_num_feats": 32, "msk_num_hidden_feats": 32, "enc_num_feats": 32}, lambda: (noise(2, 1, 400),)),
    "DeepSpeech": ({"n_feature": 16, "n_hidden": 32}, lambda: (noise(2, 1, 20, 16),)),
    "Emformer": (
        {"input_dim": 32, "num_heads": 4, "ffn_dim": 32, "num_layers": 2, "segment_length": 4}
        | {"right_context_length": 2, "left_context_length": 4, "max_memory_size": 2},
        lambda: (noise(2, 22, 32), LENGTHS),
    ),
    "Tacotron2": (
        {"encoder_embedding_dim": 32, "decoder_rnn_dim": 32, "attention_rnn_dim": 32, "symbol_embedding_dim": 32},
        lambda: (torch.randint(1, 90, (2, 7)), torch.tensor([7, 5]), noise(2, 80, 9), torch.tensor([9, 6])),
    ),
    "Wav2Letter": ({"num_classes": 8, "input_type": "power_spectrum", "num_features": 16}, lambda: (noise(2, 16, 60),)),
    "WaveRNN": (
        {"upsample_scales": [2, 2], "n_classes": 16, "hop_length": 4, "n_res_block": 2, "n_rnn": 32, "n_fc": 32},
        lambda: (noise(1, 1, 4 * 6), noise(1, 1, 128, 10)),
    ),
    "hdemucs_low": ({"sources": ["a", "b"]}, lambda: (noise(1, 2, 4096),)),
    "squim_objective_base": ({}, lambda: (noise(1, 4000),)),
    "wav2vec2_model": (WAVES, lambda: (noise(2, 400), torch.tensor([400, 300]))),
    "wavlm_model": (
        {**WAVES, "encoder_num_buckets": 8, "encoder_max_distance": 16},
        lambda: (noise(2, 400),),
    ),
}


def torchaudio_candidates(architecture: str) -> Iterator[Candidate]:
    """Yield the model with its inputs."""
    from torchaudio import models

    options, example = TORCHAUDIO[architecture]
    yield lambda: (getattr(models, architecture)(**options), example())


IMAGES: Mapping[str, Any] = {"block_out_channels": (32, 64), "norm_num_groups": 8, "layers_per_block": 1}
DIT: Mapping[str, Any] = {"num_attention_heads": 4, "attention_head_dim": 8, "num_layers": 2, "sample_size": 8}
JOINT: Mapping[str, Any] = {"num_attention_heads": 4, "attention_head_dim": 8, "joint_attention_dim": 32}
TIME = torch.tensor([3, 5])
STATES: Mapping[str, Any] = {"encoder_hidden_states": noise(2, 5, 32), "timestep": TIME}
DIFFUSERS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "AuraFlowTransformer2DModel": (
        {**JOINT, "sample_size": 8, "num_mmdit_layers": 2, "num_single_dit_layers": 2, "caption_projection_dim": 32}
        | {"pos_embed_max_size": 16},
        {"hidden_states": noise(2, 4, 8, 8), **STATES},
    ),
    "AutoencoderKL": (
        {**IMAGES, "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2},
        {"sample": noise(2, 3, 16, 16)},
    ),
    "CogVideoXTransformer3DModel": (
        {"num_attention_heads": 4, "attention_head_dim": 8, "num_layers": 2, "text_embed_dim": 32, "time_embed_dim": 16}
        | {"sample_width": 8, "sample_height": 8, "sample_frames": 5, "max_text_seq_length": 5, "in_channels": 4},
        {"hidden_states": noise(2, 2, 4, 8, 8), **STATES},
    ),
    "DiTTransformer2DModel": (
        {**DIT, "norm_num_groups": 4},
        {"hidden_states": noise(2, 4, 8, 8), "timestep": TIME, "class_labels": TIME},
    ),
    "FluxTransformer2DModel": (
        {**JOINT, "in_channels": 4, "num_layers": 2, "num_single_layers": 2, "pooled_projection_dim": 32}
        | {"axes_dims_rope": (2, 2, 4)},
        {"hidden_states": noise(2, 6, 4), "pooled_projections": noise(2, 32), **STATES}
        | {"img_ids": torch.arange(18.0).view(6, 3), "txt_ids": torch.zeros(5, 3)},
    ),
    "PixArtTransformer2DModel": (
        {**DIT, "cross_attention_dim": 32, "caption_channels": 32, "norm_num_groups": 4},
        {"hidden_states": noise(2, 4, 8, 8), **STATES, "added_cond_kwargs": {"resolution": None, "aspect_ratio": None}},
    ),
    "PriorTransformer": (
        {"num_attention_heads": 4, "attention_head_dim": 8, "num_layers": 2, "embedding_dim": 32, "num_embeddings": 5},
        {"hidden_states": noise(2, 32), "proj_embedding": noise(2, 32), **STATES},
    ),
    "SanaTransformer2DModel": (
        {**DIT, "in_channels": 4, "num_cross_attention_heads": 4, "cross_attention_head_dim": 8}
        | {"cross_attention_dim": 32, "caption_channels": 32},
        {"hidden_states": noise(2, 4, 8, 8), **STATES},
    ),
    "SD3Transformer2DModel": (
        {**DIT, "joint_attention_dim": 32, "caption_projection_dim": 32, "pooled_projection_dim": 32, "in_channels": 4},
        {"hidden_states": noise(2, 4, 8, 8), "pooled_projections": noise(2, 32), **STATES},
    ),
    "StableAudioDiTModel": (
        {"in_channels": 4, "num_layers": 2, "attention_head_dim": 16, "num_attention_heads": 4, "sample_size": 8}
        | {"num_key_value_attention_heads": 2, "cross_attention_dim": 32, "cross_attention_input_dim": 32}
        | {"global_states_input_dim": 32, "out_channels": 4},
        {"hidden_states": noise(2, 4, 8), "global_hidden_states": noise(2, 1, 32), **STATES}
        | {"rotary_embedding": (torch.ones(9, 8), torch.zeros(9, 8))},
    ),
    "UNet1DModel": (
        {"block_out_channels": (32, 32, 64), "layers_per_block": 1, "extra_in_channels": 64},
        {"sample": noise(2, 2, 32), "timestep": TIME},
    ),
    "UNet2DConditionModel": (
        {**IMAGES, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "cross_attention_dim": 32}
        | {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "attention_head_dim": 8},
        {"sample": noise(2, 4, 16, 16), **STATES},
    ),
    "UNet2DModel": (
        {**IMAGES, "down_block_types": ("DownBlock2D", "AttnDownBlock2D")}
        | {"up_block_types": ("AttnUpBlock2D", "UpBlock2D")},
        {"sample": noise(2, 3, 16, 16), "timestep": TIME},
    ),
    "WanTransformer3DModel": (
        {"num_attention_heads": 4, "attention_head_dim": 12, "num_layers": 2, "text_dim": 32, "ffn_dim": 32}
        | {"in_channels": 4, "out_channels": 4, "freq_dim": 32},
        {"hidden_states": noise(2, 4, 2, 8, 8), **STATES},
    ),
}


def diffusers_candidates(architecture: str) -> Iterator[Candidate]:
    """Yield the model with its inputs."""
    from diffusers import models

    options, example = DIFFUSERS[architecture]
    yield lambda: (getattr(models, architecture)(**options), dict(example))
