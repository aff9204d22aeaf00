"""What this plugin brings. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

from itnet_core import ComponentSpec, PresetSpec, hookimpl
from itnet_core.plugin.specs import Kind

OPEN_CLIP = "open-clip-torch>=3.0"


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders, the head and the tasks."""
    return [
        _spec("encoder", "image-text", "image_text:ImageTextEncoder", "the union of a picture's and a text's fields"),
        _spec(
            "encoder",
            "image-pair-text",
            "image_pair_text:ImagePairTextEncoder",
            "the union of the fields of two pictures and a text",
            modality="image-pair-text",
        ),
        _spec(
            "encoder",
            "open-clip",
            "open_clip_towers:OpenCLIPEncoder",
            "the tokens of both towers of an open_clip model",
            OPEN_CLIP,
        ),
        _spec(
            "head",
            "contrastive",
            "contrastive:ContrastiveHead",
            "embeddings on a sphere, with a learned temperature",
            modality=None,
        ),
        _spec("task", "vqa-v2", "vqa_v2:VQAv2", "open questions about COCO's photographs"),
        _spec("task", "easy-vqa", "easy_vqa:EasyVQA", "simple questions about pictures of one shape, 13 answers"),
        _spec("task", "nlvr2", "nlvr2:NLVR2", "is a sentence true of two photographs?", modality="image-pair-text"),
        _spec("task", "image-text-retrieval", "retrieval:ImageTextRetrieval", "which caption is of which picture"),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack a task alone."""
    stem = {"name": "itnet-image/conv-stem", "strides": [2, 2, 2, 2]}
    patches = {"name": "itnet-image/patch", "patch_size": 16}
    return [
        _preset("image-text-nano", "itnet-nano", "image-text", stem, "small pictures with short texts on a CPU"),
        _preset("image-text-s", "itnet-s", "image-text", patches, "photographs with texts, the paper's S"),
        _preset(
            "image-pair-text-nano", "itnet-nano", "image-pair-text", stem, "two small pictures with a text on a CPU"
        ),
        _preset(
            "image-pair-text-s", "itnet-s", "image-pair-text", patches, "two photographs with a text, the paper's S"
        ),
    ]


def _preset(name: str, size: str, encoder: str, image: Mapping[str, object], summary: str) -> PresetSpec:
    encoder = f"itnet-vision-language/{encoder}"
    config = {"preset": f"itnet-core/{size}", "encoder": {"name": encoder, "image": image}}
    return PresetSpec(name=name, summary=summary, config=config)


def _spec(
    kind: Kind, name: str, target: str, summary: str, *requires: str, modality: str | None = "image-text"
) -> ComponentSpec:
    return ComponentSpec(
        kind=kind,
        name=name,
        target=f"itnet_vision_language.{target}",
        summary=summary,
        requires=requires,
        modality=modality,
    )
