"""Parts of the configurations and inputs that are written out for architectures of transformers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from conversion_libraries import Example, check_size
from torch import Tensor

Written = Mapping[str, tuple[Mapping[str, Any], Callable[[], Example]]]
"""For an architecture, the fields of its configuration that are not its default's, and inputs."""

WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
LLM = WIDTH | {"num_key_value_heads": 2, "head_dim": 8, "vocab_size": 99, "max_position_embeddings": 64}
VIT = {"model_type": "timm_wrapper", "architecture": "vit_pe_core_tiny_patch16_384", "do_pooling": True}


def real(*shape: int) -> Tensor:
    """Return random numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def tokens(*shape: int, high: int = 90) -> Tensor:
    """Return random tokens from 2."""
    return torch.randint(2, high, shape, generator=torch.Generator().manual_seed(0))


def with_places(token: int, count: int, *others: tuple[int, int]) -> Tensor:
    """Return two rows of tokens that have a number of places for features, of further kinds as well."""
    ids = tokens(2, 7)
    places = [torch.full((2, count), token) for token, count in ((token, count), *others)]
    return torch.cat([ids[:, :2], *places, ids[:, 2:]], dim=1)


def small_model(config: Any, part: str | None = None) -> Any:
    """Return the model of a configuration, or of a part of it, with random weights.

    Raises:
        ValueError: it has too many parameters.
    """
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    found = MODEL_MAPPING[type(config)]
    cls: Any = found[0] if isinstance(found, tuple) else found
    config = getattr(config, part) if part else config
    with torch.device("meta"):
        check_size(cls._from_config(copy.deepcopy(config)))
    return cls._from_config(config, attn_implementation="eager", experts_implementation="eager")
