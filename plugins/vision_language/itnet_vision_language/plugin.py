"""Components and presets of `itnet-vision-language`. Imports no torch."""

from __future__ import annotations

from functools import partial
from typing import Any

from itnet_core import ComponentSpec, PresetSpec, hookimpl

single = partial(ComponentSpec, modality="image-text")
pair = partial(ComponentSpec, modality="image-pair-text")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders, the head and the tasks."""
    encoders, heads, tasks = (f"itnet_vision_language.{room}" for room in ("encoders", "heads", "tasks"))
    open_clip = ("open-clip-torch>=3.0",)
    return [
        single("encoder", "image-text", f"{encoders}.image_text:ImageTextEncoder", "an image's and a text's fields"),
        pair("encoder", "image-pair-text", f"{encoders}.image_pair_text:ImagePairTextEncoder", "two images and a text"),
        single(
            "encoder",
            "open-clip",
            f"{encoders}.open_clip_encoder:OpenCLIPEncoder",
            "the tokens of both towers of an open_clip model",
            requires=open_clip,
            citations=("ilharco2021openclip", "radford2021clip"),
        ),
        ComponentSpec(
            "head",
            "contrastive",
            f"{heads}.contrastive:ContrastiveHead",
            "embeddings on a sphere",
            citations=("radford2021clip",),
        ),
        single(
            "task",
            "vqa-v2",
            f"{tasks}.vqa_v2:VQAv2",
            "open questions about COCO's photographs",
            citations=("goyal2016vqa",),
        ),
        single(
            "task",
            "easy-vqa",
            f"{tasks}.easy_vqa:EasyVQA",
            "simple questions about images of one shape",
            citations=("zhoueasyvqa",),
        ),
        pair(
            "task",
            "easy-vqa-pairs",
            f"{tasks}.easy_vqa_pairs:EasyVQAPairs",
            "is a statement true of two images of shapes?",
            citations=("zhoueasyvqa", "suhr2018nlvr2"),
        ),
        pair(
            "task",
            "nlvr2",
            f"{tasks}.nlvr2:NLVR2",
            "is a sentence true of two photographs?",
            citations=("suhr2018nlvr2",),
        ),
        single("task", "image-text-retrieval", f"{tasks}.retrieval:ImageTextRetrieval", "match captions with images"),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack only a task."""
    stem = {"name": "itnet-image/conv-stem", "strides": [2, 2, 2, 2]}
    patches = {"name": "itnet-image/patch", "patch_size": 16}
    return [
        PresetSpec(
            "image-text-nano", "small images with short texts on a CPU", _model("itnet-nano", "image-text", stem)
        ),
        PresetSpec(
            "image-text-s", "the paper's S, on photographs with texts", _model("itnet-s", "image-text", patches)
        ),
        PresetSpec(
            "image-pair-text-nano",
            "two small images with a text on a CPU",
            _model("itnet-nano", "image-pair-text", stem),
        ),
        PresetSpec(
            "image-pair-text-s",
            "the paper's S, on two photographs with a text",
            _model("itnet-s", "image-pair-text", patches),
        ),
    ]


def _model(size: str, encoder: str, image: dict[str, Any]) -> dict[str, Any]:
    encoder = f"itnet-vision-language/{encoder}"
    return {"preset": f"itnet-core/{size}", "encoder": {"name": encoder, "image": image}}
