"""Inputs that a small model of transformers may take: text, images, patches, videos, recordings, time series."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

BATCH, TOKENS, FRAMES = 2, 7, 4
LAYOUTS = range(5)
"""Numbers of the layouts that `given` tries for images, recordings and masks, which libraries order in several ways."""
OF_OTHERS = {"hidden_states", "inputs_embeds", "encoder_hidden_states"}
"""Inputs that are given where a model requires them."""
PLACEHOLDERS = {"image": 91, "video": 92, "audio": 93}
"""Tokens whose places the features of other modalities take."""


def first(config: Any, *names: str, default: Any = None) -> Any:
    """Return the first of some fields that a configuration, or one within it, has."""
    within = "vision_config", "audio_config", "encoder_config", "semantic_model_config", "asr_config", "decoder_config"
    for owner in (config, *(getattr(config, name, None) for name in within)):
        for name in names:
            if getattr(owner, name, None) is not None:
                return getattr(owner, name)
    return default


def square(size: Any) -> tuple[int, int]:
    """Return a size of an image as its height and width."""
    return (size, size) if isinstance(size, int) else tuple(size)[-2:]


def text(config: Any, random: Any, layout: int) -> dict[str, Tensor]:
    """Return tokens, of several codes each in some layouts, and what may come with them."""
    ids = torch.randint(2, 90, (BATCH, TOKENS), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    channels = getattr(getattr(config, "decoder_config", None), "num_channels", None)
    count = first(config, "num_codebooks", default=channels or 1) + layout - 1
    codes = (ids.unsqueeze(-1) % 60).expand(-1, -1, count) if layout else ids
    several = hasattr(config, "num_codebooks")
    return {
        "input_ids": codes if several else ids,
        "attention_mask": mask,
        "decoder_input_ids": (codes if channels else ids)[:, :5],
        "image_embeds_position_mask": (torch.arange(TOKENS) % 5 > 0)
        .expand(BATCH, -1)[:, :TOKENS]
        .logical_and(torch.arange(TOKENS) < 5),
        "image_attention_mask": torch.ones(BATCH, TOKENS, FRAMES),
        "lang_ids": torch.zeros(BATCH, dtype=torch.long),
        "qformer_input_ids": ids,
        "task_inputs": ids,
        "bbox": torch.arange(4).expand(BATCH, TOKENS, 4),
        "visual_pos": random(BATCH, 5, 4).abs(),
    }


def images(config: Any, random: Any, layout: int, patches: bool, usual: int) -> dict[str, Tensor]:
    """Return images, of the usual size unless they have one: as such, as videos, or as patches of grids."""
    height, width = square(first(config, "image_size", "img_size", "crop_size", default=usual))
    channels = first(config, "num_channels", "in_channels", "in_chans", default=3)
    channels = channels if isinstance(channels, int) else 3
    frames = first(config, "num_frames", "frames_per_clip", default=FRAMES)
    side = square(first(config, "patch_size", default=8))
    duration = first(config, "temporal_patch_size", "patch_temporal", default=1)
    grid = torch.tensor([[1, 4, 4]] * BATCH)
    image: tuple[int, ...] = BATCH, channels, height, width
    video = BATCH, frames, channels, height, width
    if patches:
        pixels = channels * duration * side[0] * side[1]
        image = [
            (BATCH * 16, pixels),
            (BATCH * 16, channels, *side),
            (BATCH, 16, pixels),
            (BATCH * 16, *side, channels),
            (1, channels, side[0], 32 * side[1]),
        ][layout]
    elif layout:
        image = [image, video, (BATCH, 2, channels, height, width), (BATCH, 16, channels * side[0] * side[1]), image][
            layout
        ]
    places = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="xy"), -1).view(1, 16, 2)
    return {
        "pixel_values": random(*image),
        "hidden_states": random(*image),
        **({} if patches else {"pixel_values_videos": random(*video)}),
        "prompt_pixel_values": random(*image),
        "prompt_masks": random(*image),
        "pixel_mask": torch.ones(BATCH, height, width, dtype=torch.long),
        "pixel_attention_mask": torch.ones(BATCH, 16, dtype=torch.long),
        "spatial_shapes": torch.tensor([[4, 4]] * BATCH),
        "target_sizes": torch.tensor([[4, 4]] * BATCH),
        "image_sizes": torch.tensor([[height, width]] * BATCH),
        "pixel_position_ids": places.expand(BATCH, -1, -1),
        "image_position_ids": places.expand(BATCH, -1, -1),
        "image_grid_thw": grid,
        "num_local_patches": torch.zeros(BATCH, dtype=torch.long),
        "grid_thw": grid,
        "merge_sizes": torch.ones(BATCH, dtype=torch.long),
    }


def recordings(config: Any, random: Any, layout: int) -> dict[str, Tensor]:
    """Return recordings as samples and as spectrograms."""
    bins = first(
        config,
        "num_mel_bins",
        "feature_size",
        "input_feat_size",
        "n_mel_bins",
        "feature_projection_input_dim",
        default=80,
    )
    bins *= first(config, "num_stacked_frames", default=1)
    length = first(config, "max_length", default=128) if layout == 2 else 128
    length = 200 if layout == 4 else length
    shapes = [
        (BATCH, bins, length),
        (BATCH, length, bins),
        (BATCH, length, bins),
        (BATCH, 1, length, bins),
        (BATCH, bins, length),
    ]
    samples = [(BATCH, 1920), (BATCH, 1, 1920), (BATCH, length, bins), (BATCH, 1, 3840), (BATCH, 2000)]
    mask = torch.ones(BATCH, length, dtype=torch.bool)
    return {
        "input_features": random(*shapes[layout]),
        "input_values": random(*samples[layout]),
        "input_features_mask": mask,
        "feature_attention_mask": mask,
        "audio_mel": random(BATCH, length, bins),
        "audio_mel_mask": ~mask,
        "is_longer": torch.zeros(BATCH, 1, dtype=torch.bool),
        "padding_mask": torch.ones(BATCH, samples[layout][-1], dtype=torch.bool),
        "decoder_input_values": random(BATCH, 5, bins),
        "noise_sequence": random(BATCH, length, first(config, "model_in_channels", default=8)),
    }


def series(config: Any, random: Any) -> dict[str, Tensor]:
    """Return time series with the features of their times, and the states of a decision process."""
    past = first(config, "context_length", default=32)
    channels, ahead = first(config, "num_input_channels", default=1), first(config, "prediction_length", default=4) or 4
    shape: tuple[int, ...] = (channels,)
    if hasattr(config, "lags_sequence"):
        past, shape = past + max(config.lags_sequence), ()
    return {
        "past_values": random(BATCH, past, *shape),
        "past_time_features": random(BATCH, past, first(config, "num_time_features", default=1)),
        "past_observed_mask": torch.ones(BATCH, past, *shape),
        "future_values": random(BATCH, ahead, *shape),
        "future_time_features": random(BATCH, ahead, first(config, "num_time_features", default=1)),
        "states": random(BATCH, 5, first(config, "state_dim", default=4)),
        "actions": random(BATCH, 5, first(config, "act_dim", default=4)),
        "rewards": random(BATCH, 5, 1),
        "returns_to_go": random(BATCH, 5, 1),
        "timesteps": torch.arange(5).expand(BATCH, 5),
    }


def vectors(config: Any, random: Any) -> dict[str, Tensor]:
    """Return the outputs of other models."""
    width = first(config, "hidden_size", "d_model", default=32)
    return {
        "inputs_embeds": random(BATCH, TOKENS, width),
        "encoder_hidden_states": random(BATCH, 5, width),
        "context_hidden_states": random(BATCH, TOKENS, width * len(getattr(config, "target_layer_ids", (0,)))),
        "inputs": random(BATCH, 9, getattr(config, "d_model", 32)),
        "query_embeds": random(BATCH, 4, width),
        "noise_embeds": random(BATCH, 4, width),
        "latents": random(BATCH, width, 6),
        "visual_feats": random(BATCH, 5, first(config, "visual_feat_dim", default=32)),
    }


def inputs(model: Any, layout: int | None) -> dict[str, Tensor]:
    """Return inputs that a model may take: its main one, or for a layout, all those that it names.

    Placeholders of other modalities stand among the tokens, as many as there are features.
    """
    config, generator = model.config, torch.Generator().manual_seed(0)
    random = partial(torch.randn, generator=generator)
    parameters = inspect.signature(model.forward).parameters
    patches = any(name in parameters for name in ("grid_thw", "image_grid_thw", "target_sizes"))
    known = (
        vectors(config, random)
        | series(config, random)
        | recordings(config, random, layout or 0)
        | images(config, random, layout or 0, patches, 32 if layout in (None, 4) else 128)
        | text(config, random, layout or 0)
    )
    main, decoder = model.main_input_name, ["decoder_input_ids"] if config.is_encoder_decoder else []
    required = [name for name, item in parameters.items() if item.default is item.empty]
    sides = [main, *(["attention_mask", "bbox"] if main == "input_ids" else []), *decoder, *required]
    given = {name: known[name] for name in parameters if name in known and (layout is not None or name in sides)}
    if not hasattr(config, "cross_attention_frequency"):
        required = [*required, main]
        given = {name: item for name, item in given.items() if name not in OF_OTHERS or name in required}
    if layout is None:
        return given
    if "input_ids" not in given and "attention_mask" in given:
        features = given.get("input_features", given.get("input_values"))
        del given["attention_mask"]
        if features is not None:
            given["attention_mask"] = torch.ones(
                BATCH, features.shape[-1] if features.ndim == 2 else 128, dtype=torch.long
            )
    return place(model, given) if "input_ids" in given else given


def place(model: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Insert the placeholders of features of other modalities into the tokens."""
    ids, width = given["input_ids"], model.config.get_text_config().hidden_size
    types = torch.zeros_like(ids)
    for number, (kind, token) in enumerate(PLACEHOLDERS.items(), start=1):
        method = getattr(model, f"get_{kind}_features", None)
        names = inspect.signature(method).parameters if method else {}
        arguments = {name: given[name] for name in names if name in given}
        if not method or not arguments or token not in vars(model.config).values():
            continue
        with torch.no_grad():
            found = method(**arguments)
        leaves = tree_leaves(getattr(found, "pooler_output", found))
        count = sum(item.numel() for item in leaves if isinstance(item, Tensor)) // width // BATCH
        ids = torch.cat([ids[:, :2], torch.full((BATCH, count), token), ids[:, 2:]], dim=1)
        types = torch.cat([types[:, :2], torch.full((BATCH, count), number), types[:, 2:]], dim=1)
    if ids.shape == types.shape and ids.shape[1] > TOKENS:
        given = given | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        named: Mapping[str, Any] = inspect.signature(model.forward).parameters
        given |= {name: types for name in ("mm_token_type_ids", "token_type_ids") if name in named}
    return given
