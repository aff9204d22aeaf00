"""Every first-party component passes the kit that third parties are given."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from itnet_core.testing import EncoderConformance, HeadConformance, KernelConformance, SamplerConformance


class TestField(EncoderConformance):
    component = "itnet-core/field"


class TestMLP(KernelConformance):
    component = "itnet-core/mlp"


class TestFull(SamplerConformance):
    component = "itnet-core/full"


class TestClassify(HeadConformance):
    component = "itnet-core/classify"


class TestRegress(HeadConformance):
    component = "itnet-core/regress"


class TestPerPoint(HeadConformance):
    component = "itnet-core/per-point"


class TestPatch(EncoderConformance):
    component = "itnet-image/patch"
    options: ClassVar = {"patch_size": 4}

    def refined(self, times: int) -> Tensor:
        return waves(16 * times)


class TestConvStem(EncoderConformance):
    component = "itnet-image/conv-stem"
    dim = 16

    def refined(self, times: int) -> Tensor:
        return waves(16 * times)


class TestToken(EncoderConformance):
    component = "itnet-text/token"
    options: ClassVar = {"window": 3, "token_dropout": 0.1}


class TestPoint(EncoderConformance):
    component = "itnet-pointcloud/point"
    options: ClassVar = {"features": 2}


class TestLocalGroup(EncoderConformance):
    component = "itnet-pointcloud/local-group"
    options: ClassVar = {"centres": 6, "neighbours": 5}


class TestMel(EncoderConformance):
    component = "itnet-audio/mel"
    options: ClassVar = {"sample_rate": 4000, "n_mels": 16, "patch_mels": 4}


class TestWaveform(EncoderConformance):
    component = "itnet-audio/waveform"
    options: ClassVar = {"sample_rate": 4000, "strides": [4, 4, 4]}


class TestImageText(EncoderConformance):
    component = "itnet-vision-language/image-text"


class TestImagePairText(EncoderConformance):
    component = "itnet-vision-language/image-pair-text"


def waves(side: int) -> Tensor:
    """Return a smooth picture of three channels, sampled at the centres of side × side pixels."""
    at = (torch.arange(side) + 0.5) / side
    return torch.stack([torch.sin(3 * at[:, None] + k * at) for k in (1, 2, 3)]).unsqueeze(0)
