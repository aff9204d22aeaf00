"""Every first-party component passes the conformance kit; tasks do so in the tests of their plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import BertConfig, BertModel, Wav2Vec2Config, Wav2Vec2Model

from itnet_registry import Registry
from itnet_series.series import Series
from itnet_testing import (
    EncoderConformance,
    EvaluatorConformance,
    HeadConformance,
    KernelConformance,
    SamplerConformance,
)
from itnet_text.tokenizer import train_tokenizer

ROOT = Path(__file__).parent.parent.parent
OURS = {"itnet-core", *(f"itnet-{path.parent.name.replace('_', '-')}" for path in ROOT.glob("plugins/*/README.md"))}


def test_every_component_has_a_case() -> None:
    files = [Path(__file__), *ROOT.glob("plugins/*/tests/**/test_*.py")]
    cases = {id_ for file in files for id_ in re.findall(r'^    component = "(.+)"$', file.read_text(), re.MULTILINE)}
    declared = {c.id for c in Registry().components() if c.source.distribution in OURS}
    assert declared
    assert cases == declared


def test_every_case_of_a_task_has_values_in_memory() -> None:
    files = [file for file in ROOT.glob("plugins/*/tests/**/test_*.py") if "(TaskConformance)" in file.read_text()]
    assert files
    assert [file for file in files if "    def user_values(self)" not in file.read_text()] == []


class TestField(EncoderConformance):
    component = "itnet-core/field"


class TestMLP(KernelConformance):
    component = "itnet-core/mlp"


class TestFull(SamplerConformance):
    component = "itnet-core/full"


class TestDense(EvaluatorConformance):
    component = "itnet-core/dense"


class TestTiled(EvaluatorConformance):
    component = "itnet-core/tiled"
    options: ClassVar = {"query_tile": 8, "key_tile": 16}


class TestLocal(EvaluatorConformance):
    component = "itnet-core/local"


class TestAuto(EvaluatorConformance):
    component = "itnet-core/auto"


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


class TestTimm(EncoderConformance):
    component = "itnet-image/timm"
    options: ClassVar = {"model": "test_convnext", "stage": 1}  # smooth, for finite differences


class TestPixelSequence(EncoderConformance):
    component = "itnet-image/pixel-sequence"
    options: ClassVar = {"pixels": 4}


class TestToken(EncoderConformance):
    component = "itnet-text/token"
    options: ClassVar = {"window": 3, "token_dropout": 0.1}


class TestConverted(EncoderConformance):
    component = "itnet-kernels/converted"
    options: ClassVar = {
        "encoder": {"name": "timm", "model": "test_vit", "stage": 0, "options": {"img_size": 32, "patch_size": 8}}
    }


class TestPretrained(EncoderConformance):
    component = "itnet-text/pretrained"
    frozen = True

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The options, with a small BERT on disk."""
        folder = self.folder / "bert"
        tokenizer = train_tokenizer(["a fine film"], 260)
        size: dict[str, Any] = {
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 8,
        }
        torch.manual_seed(0)
        BertModel(BertConfig(vocab_size=tokenizer.get_vocab_size(), **size)).save_pretrained(folder)
        tokenizer.save(str(folder / "tokenizer.json"))
        return {"model": str(folder), "frozen": self.frozen}


class TestPretrainedAndTrainedOn(TestPretrained):
    frozen = False


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


class TestTransformersAudio(EncoderConformance):
    component = "itnet-audio/transformers-audio"

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The options, with a small wav2vec 2.0 on disk."""
        folder = self.folder / "wav2vec2"
        torch.manual_seed(0)
        Wav2Vec2Model(
            Wav2Vec2Config(
                hidden_size=8,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=8,
                conv_dim=[4, 4, 4],
                conv_kernel=[10, 3, 3],
                conv_stride=[5, 4, 4],
                feat_extract_norm="layer",
                do_stable_layer_norm=True,
                num_conv_pos_embeddings=8,
                num_conv_pos_embedding_groups=2,
            )
        ).save_pretrained(folder)
        return {"model": str(folder)}


class TestTorchaudioPretrained(EncoderConformance):
    component = "itnet-audio/torchaudio-pretrained"
    options: ClassVar = {
        "model": "WAV2VEC2_LARGE_LV60K",
        "architecture": {
            "extractor_conv_layer_config": [[4, 10, 5], [4, 3, 4], [4, 3, 4]],
            "encoder_embed_dim": 8,
            "encoder_pos_conv_kernel": 8,
            "encoder_pos_conv_groups": 2,
            "encoder_num_layers": 1,
            "encoder_num_heads": 2,
            "encoder_ff_interm_features": 8,
        },
    }


class TestSeries(EncoderConformance):
    component = "itnet-series/series"
    options: ClassVar = {"channels": 2, "patch": 2}

    def refined(self, times: int) -> Series:
        t = (torch.arange(16 * times) + 0.5) / times
        return Series.of([torch.stack([torch.sin(t / 3), torch.cos(t / 2)], 1)], [t])


class TestPeriodicField(EncoderConformance):
    component = "itnet-operators/periodic-field"


class TestPeriodicMLP(KernelConformance):
    component = "itnet-operators/periodic-mlp"


class TestImageText(EncoderConformance):
    component = "itnet-vision-language/image-text"


class TestImagePairText(EncoderConformance):
    component = "itnet-vision-language/image-pair-text"


class TestOpenCLIP(EncoderConformance):
    component = "itnet-vision-language/open-clip"
    options: ClassVar = {
        "architecture": "tiny",
        "definition": {
            "embed_dim": 8,
            "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
            "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
        },
    }


class TestContrastive(HeadConformance):
    component = "itnet-vision-language/contrastive"


def waves(side: int) -> Tensor:
    """Return a smooth image of three channels, sampled at the centres of side × side pixels."""
    x = (torch.arange(side) + 0.5) / side
    return torch.stack([torch.sin(3 * x[:, None] + k * x) for k in (1, 2, 3)]).unsqueeze(0)
