"""What this plugin brings. Imports no torch."""

from __future__ import annotations

from itnet_core import ComponentSpec, PresetSpec, hookimpl
from itnet_core.plugin.specs import Kind


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders and the tasks."""
    return [
        _spec("encoder", "patch", "patch:PatchEncoder", "square patches, each one point"),
        _spec("encoder", "conv-stem", "conv_stem:ConvStemEncoder", "a few strided 3 x 3 convolutions"),
        _spec("task", "digits", "digits:Digits", "scikit-learn's 8 x 8 digits, bundled with it", "scikit-learn"),
        _spec("task", "fashion-mnist", "fashion_mnist:FashionMNIST", "28 x 28 pictures of 10 kinds of clothes"),
        _spec("task", "cifar-10", "cifar10:CIFAR10", "32 x 32 colour pictures of 10 classes (binary version)"),
        _spec("task", "imagenet-1k", "imagenet:ImageNet1k", "ILSVRC 2012, 1000 classes"),
        _spec("task", "image-folder", "folder:ImageFolder", "a folder a class, of pictures of any size"),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack a task alone."""
    stem = {"name": "itnet-image/conv-stem", "strides": [2, 2]}
    return [
        PresetSpec(
            name="image-nano",
            summary="small pictures on a CPU",
            config={"preset": "itnet-core/itnet-nano", "encoder": stem},
        ),
        PresetSpec(
            name="image-s",
            summary="photographs of 224 pixels as patches of 16, the paper's S",
            config={"preset": "itnet-core/itnet-s", "encoder": {"name": "itnet-image/patch", "patch_size": 16}},
        ),
    ]


def _spec(kind: Kind, name: str, target: str, summary: str, *requires: str) -> ComponentSpec:
    return ComponentSpec(
        kind=kind,
        name=name,
        target=f"itnet_image.{target}",
        summary=summary,
        requires=requires,
        modality="image",
    )
