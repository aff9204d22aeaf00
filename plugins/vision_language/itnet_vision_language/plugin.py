"""What this plugin brings. Imports no torch."""

from __future__ import annotations

from itnet_core.component import ComponentSpec, Kind
from itnet_core.hookspecs import hookimpl

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
