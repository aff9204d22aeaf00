"""Build open_clip's models from their definitions, load their weights, and read their tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import open_clip
from open_clip.hf_model import HFTextEncoder
from open_clip.pretrained import download_pretrained, get_pretrained_cfg, list_pretrained_tags_by_model
from safetensors import SafetensorError
from torch import Tensor, nn

from itnet_core import ConfigError, DataError, shown

SUFFIX = ".safetensors"

TOKENIZER_OPTIONS = frozenset({"clean", "context_length", "strip_sep_token"})
"""Tokenizer options of open_clip's own models; other options name files, or let the hub's code run."""


def unknown_architecture(architecture: str) -> ConfigError:
    """Return the error for a name that open_clip does not know."""
    known = open_clip.list_models()
    close = get_close_matches(architecture[:100], known)
    return ConfigError(
        "OpenCLIPEncoder.architecture",
        found=shown(architecture),
        expected=f"one of open_clip's {len(known)} models (open_clip.list_models())",
        hint=f"Did you mean {', '.join(close)}? Or write its definition." if close else "Or write its definition.",
    )


def build(definition: Mapping[str, Any], *, download: bool) -> nn.Module:
    """Build the model of a definition, with random weights.

    Raises:
        ConfigError: open_clip cannot build it, or it needs files from the hub, which `download` does not allow.
    """
    text = definition.get("text_cfg", {})
    names = [text[key] for key in ("hf_model_name", "hf_tokenizer_name") if text.get(key)]
    _check_named(definition, names)
    distant = sorted({name for name in names if not Path(name).is_dir()})
    if distant and not download:
        raise ConfigError(
            "OpenCLIPEncoder.download",
            found=f"false, and a text tower that needs the hub's {', '.join(distant)}",
            expected="true for such architectures",
            hint="Or name folders that hold them in the definition's text_cfg.",
        )
    # Like open_clip.create_model, which accepts only names, and would download the weights of some towers.
    own_text = definition.get("custom_text", False) or "hf_model_name" in text
    cls = open_clip.CoCa if "multimodal_cfg" in definition else open_clip.CustomTextCLIP if own_text else open_clip.CLIP
    parts = {name: part for name, part in deepcopy(dict(definition)).items() if name != "custom_text"}
    try:
        if "timm_model_name" in parts["vision_cfg"]:
            parts["vision_cfg"]["timm_model_pretrained"] = False
        if "hf_model_name" in text:
            parts["text_cfg"]["hf_model_pretrained"] = False
        return cls(**parts)
    except Exception as error:  # open_clip and what it builds on raise anything
        found = f"a definition that open_clip cannot build ({str(error) or type(error).__name__})"
        raise ConfigError(
            "OpenCLIPEncoder.definition", found=found, expected="embed_dim, vision_cfg and text_cfg of a model"
        ) from error


def _check_named(definition: Mapping[str, Any], folders: Sequence[str]) -> None:
    """Check that a definition, possibly a checkpoint's, opens nothing but regular files in folders.

    Raises:
        ConfigError: it names something else.
    """
    vision = str(definition.get("vision_cfg", {}).get("timm_model_name") or "")
    options = set(definition.get("text_cfg", {}).get("tokenizer_kwargs") or {}) - TOKENIZER_OPTIONS
    wrong = [name for name in [vision] if ":" in name or "/" in name] + sorted(map(str, options))
    for folder in filter(Path.is_dir, map(Path, folders)):
        wrong += [str(path) for path in folder.iterdir() if not path.is_file() and not path.is_dir()]
    if wrong:
        raise ConfigError(
            "OpenCLIPEncoder.definition",
            found=f"{wrong[0]!r:.200}",
            expected=f"names of timm's models, folders of regular files, and of tokenizer_kwargs "
            f"{', '.join(sorted(TOKENIZER_OPTIONS))}",
        )


def tokenizer_of(definition: Mapping[str, Any]) -> Callable[[list[str]], Tensor]:
    """Return a function from texts to token numbers (B, context length)."""
    text = definition["text_cfg"]
    options = {
        "context_length": text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
        **(text.get("tokenizer_kwargs") or {}),
    }
    if text.get("hf_tokenizer_name"):
        return open_clip.HFTokenizer(text["hf_tokenizer_name"], tokenizer_mode=text.get("tokenizer_mode"), **options)
    return open_clip.SimpleTokenizer(**options)


def load_weights(model: nn.Module, architecture: str, weights: str, *, download: bool) -> DataError | None:
    """Load weights into a model. Return, not raise, the error for missing weights: a checkpoint's may be loaded
    afterwards.

    Raises:
        ConfigError: `weights` is neither a safetensors file nor, with `download`, the name of published weights.
        DataError: the file is damaged, or contains the weights of another model.
    """
    path = Path(weights).expanduser()
    if path.suffix != SUFFIX:
        if not download:
            raise ConfigError(
                "OpenCLIPEncoder.weights",
                found=repr(weights),
                expected=f"a file ending in {SUFFIX}",
                hint="Others (.pt, .bin) are pickles, which can run code: convert it with safetensors. Or set "
                "download: true for the name of published weights.",
            )
        published = _published(architecture, weights)
        if isinstance(published, DataError):
            return published
        path = published
    if not path.is_file():
        return DataError(str(path), found="no such file", expected=f"the weights of {architecture}")
    try:
        open_clip.load_checkpoint(model, str(path))
    except (SafetensorError, OSError) as error:
        raise DataError(str(path), found=f"a damaged file ({error})", expected="a whole safetensors file") from error
    except (RuntimeError, KeyError, AttributeError) as error:
        found = f"weights of another model ({str(error)[:300]})"
        raise DataError(str(path), found=found, expected=f"the weights of {architecture}") from error
    return None


def _published(architecture: str, name: str) -> Path | DataError:
    """Return the file of published weights, downloaded unless it is in the hub's cache, or an error."""
    published = get_pretrained_cfg(architecture, name)
    if not published:
        known = ", ".join(list_pretrained_tags_by_model(architecture)) or "none"
        raise ConfigError("OpenCLIPEncoder.weights", found=repr(name), expected=f"a {SUFFIX} file, or one of {known}")
    try:
        path = Path(download_pretrained(published))
    except Exception as error:
        return DataError(name, found=f"a download that failed ({error})", expected="the published weights")
    if path.suffix != SUFFIX:
        raise DataError(
            str(path), found=f"a {path.suffix} file, a pickle, which can run code", expected=f"a {SUFFIX} file"
        )
    return path


def last_tokens(model: nn.Module, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last tokens of the image tower, on their grid (B, rows, columns, d), and of the text tower.

    Args:
        model: an open_clip model.
        images: shape (B, 3, H, W).
        ids: token numbers of the texts, shape (B, L).
    """
    last = {"normalize_intermediates": True, "intermediates_only": True}
    visual: Any = model.visual
    grid = visual.forward_intermediates(images, indices=1, **last)["image_intermediates"][-1].permute(0, 2, 3, 1)
    text: Any = getattr(model, "text", None)
    if isinstance(text, HFTextEncoder):
        return grid, text.transformer(input_ids=ids, attention_mask=(ids != text.config.pad_token_id).long())[0]
    whole: Any = model if text is None else text
    name = {"text_indices": 1} if text is None else {"indices": 1, "output_fmt": "NLC"}
    tokens = whole.forward_intermediates(text=ids, **name, **last)["text_intermediates"][-1]
    return grid, tokens
