"""Components and presets of `itnet-image`. Imports no torch."""

from __future__ import annotations

from functools import partial

from itnet_core import ComponentSpec, PresetSpec, hookimpl

image = partial(ComponentSpec, modality="image")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders and the tasks."""
    sklearn = ("scikit-learn",)
    return [
        image(
            "encoder",
            "patch",
            "itnet_image.encoders.patch:PatchEncoder",
            "square patches, one point each",
            citations=("dosovitskiy2020vit",),
        ),
        image(
            "encoder",
            "conv-stem",
            "itnet_image.encoders.conv_stem:ConvStemEncoder",
            "strided 3 x 3 convolutions",
            citations=("xiao2021convstem",),
        ),
        image(
            "encoder",
            "pixel-sequence",
            "itnet_image.encoders.pixel_sequence:PixelSequenceEncoder",
            "pixels as a sequence in time, row by row",
            citations=("le2015irnn",),
        ),
        image(
            "encoder",
            "timm",
            "itnet_image.encoders.timm_backbone:TimmEncoder",
            "the feature map of a backbone of timm, pretrained or not",
            requires=("timm", "safetensors"),
            citations=("wightman2019timm",),
        ),
        image(
            "task",
            "digits",
            "itnet_image.tasks.digits:Digits",
            "scikit-learn's 8 x 8 digits",
            requires=sklearn,
            citations=("pedregosa2011sklearn",),
        ),
        image(
            "task",
            "fashion-mnist",
            "itnet_image.tasks.fashion_mnist:FashionMNIST",
            "28 x 28 images of clothes",
            citations=("xiao2017fashionmnist",),
        ),
        image(
            "task",
            "cifar-10",
            "itnet_image.tasks.cifar10:CIFAR10",
            "32 x 32 colour images of 10 classes",
            citations=("krizhevsky2009cifar",),
        ),
        image(
            "task",
            "imagenet-1k",
            "itnet_image.tasks.imagenet:ImageNet1k",
            "ILSVRC 2012, 1000 classes",
            citations=("russakovsky2015imagenet",),
        ),
        image("task", "image-folder", "itnet_image.tasks.folder:ImageFolder", "your own images, one folder per class"),
        image("task", "image-shards", "itnet_image.tasks.shards:ImageShards", "your own images in WebDataset shards"),
        image(
            "task",
            "image-table",
            "itnet_image.tasks.table:ImageTable",
            "your own images in parquet or Arrow files",
            requires=("datasets",),
        ),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack only a task."""
    stem = {"name": "itnet-image/conv-stem", "strides": [2, 2]}
    patches = {"name": "itnet-image/patch", "patch_size": 16}
    return [
        PresetSpec("image-nano", "small images on a CPU", {"preset": "itnet-core/itnet-nano", "encoder": stem}),
        PresetSpec(
            "image-s", "the paper's S, on 16 x 16 patches", {"preset": "itnet-core/itnet-s", "encoder": patches}
        ),
    ]
