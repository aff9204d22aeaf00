"""Networks of timm and torch for images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from itnet_registry import create


def _sizes(reference: Mapping[str, Any]) -> tuple[int, int, int]:
    task = create("task", **reference)
    options = task.encoder_options
    return int(options.get("channels", 3)), int(options["image_size"]), int(task.head["classes"])


def resnet(task: Mapping[str, Any], *, depth: int = 3, widths: Sequence[int] = (16, 32, 64)) -> nn.Module:
    """Return a residual network for small images; ResNet-20 has three stages of three blocks (He et al. 2016)."""
    channels, _, classes = _sizes(task)
    return residual(channels, classes, depth, widths)


def residual(channels: int, classes: int, depth: int, widths: Sequence[int], stride: int = 1) -> nn.Module:
    """Return timm's residual blocks after a convolution of 3 x 3; each further stage halves the sides."""
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    blocks = tuple(
        ByoBlockCfg(type="basic", d=depth, c=width, s=1 if stage == 0 else 2, gs=0, br=1.0)
        for stage, width in enumerate(widths)
    )
    config = ByoModelCfg(blocks=blocks, stem_chs=widths[0], stem_type="3x3", stem_pool=None, act_layer="relu")
    network: Any = ByobNet(config, num_classes=classes, in_chans=channels)
    network.stem.conv.stride = (stride, stride)  # 2 in timm
    module: nn.Module = network
    return module


def convnext(task: Mapping[str, Any], *, depths: Sequence[int], dims: Sequence[int], patch: int = 1) -> nn.Module:
    """Return timm's ConvNeXt with a stem of small patches."""
    from timm.models.convnext import ConvNeXt

    channels, _, classes = _sizes(task)
    network: nn.Module = ConvNeXt(
        in_chans=channels, num_classes=classes, depths=tuple(depths), dims=tuple(dims), patch_size=patch
    )
    return network


def vit(task: Mapping[str, Any], *, patch: int, dim: int, depth: int, heads: int, ratio: float = 4.0) -> nn.Module:
    """Return timm's vision transformer for a task."""
    channels, size, classes = _sizes(task)
    return transformer(channels, size, classes, patch=patch, dim=dim, depth=depth, heads=heads, ratio=ratio)


def transformer(
    channels: int, size: int, classes: int, *, patch: int, dim: int, depth: int, heads: int, ratio: float
) -> nn.Module:
    """Return timm's vision transformer, with the mean over its patches."""
    from timm.models.vision_transformer import VisionTransformer

    network: nn.Module = VisionTransformer(
        img_size=size,
        patch_size=patch,
        in_chans=channels,
        num_classes=classes,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        mlp_ratio=ratio,
        global_pool="avg",
    )
    return network


class Linear(nn.Module):
    """scikit-learn's logistic regression on pixels, fitted to the training split."""

    def __init__(self, task: Mapping[str, Any], *, samples: int = 15000) -> None:
        super().__init__()
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        dataset = create("task", **{**task, "shift": 0}).dataset("train")
        pairs = [dataset[i] for i in range(min(samples, len(dataset)))]
        self.model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
        self.model.fit(
            torch.stack([pair.inputs for pair in pairs]).flatten(1).numpy(), [int(pair.label) for pair in pairs]
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logarithms of the classes' probabilities."""
        return torch.from_numpy(self.model.predict_log_proba(images.flatten(1).numpy())).float()
