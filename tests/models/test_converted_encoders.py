"""An encoder of any modality, converted into integral operators: the same function, weights and checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, Wav2Vec2Config, Wav2Vec2Model

from itnet_core import ConfigError, IntegralOperator, ITNetModel, TiledEvaluator
from itnet_kernels.conversion.converted import ConvertedLayer
from itnet_kernels.conversion.converted_encoder import ConvertedEncoder
from itnet_registry import create_model, load_model, load_weights, save_model
from itnet_text.tokenizer import train_tokenizer

SIZE: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
TIMM = {"name": "timm", "model": "test_vit", "stage": 0, "options": {"img_size": 32, "patch_size": 8}}


def bert(folder: Path) -> dict[str, Any]:
    tokenizer = train_tokenizer(["a fine film"], 260)
    BertModel(BertConfig(vocab_size=tokenizer.get_vocab_size(), **SIZE)).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return {"name": "pretrained", "model": str(folder)}


def wav2vec2(folder: Path) -> dict[str, Any]:
    stem: dict[str, Any] = {"conv_dim": [4] * 3, "conv_kernel": [10, 3, 3], "conv_stride": [5, 4, 4]}
    context: dict[str, Any] = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    Wav2Vec2Model(Wav2Vec2Config(**SIZE, **stem, **context)).save_pretrained(folder)
    return {"name": "transformers-audio", "model": str(folder)}


ENCODERS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "image": lambda folder: TIMM,
    "text": bert,
    "audio": wav2vec2,
    "torchaudio": lambda folder: {
        "name": "torchaudio-pretrained",
        "model": "WAVLM_BASE",
        "architecture": {
            "extractor_conv_layer_config": [[4, 10, 5], [4, 3, 4], [4, 3, 4]],
            "encoder_embed_dim": 8,
            "encoder_pos_conv_kernel": 8,
            "encoder_pos_conv_groups": 2,
            "encoder_num_layers": 1,
            "encoder_num_heads": 2,
            "encoder_ff_interm_features": 8,
        },
    },
    "graph": lambda folder: {
        "name": "graph",
        "features": 2,
        "network": {"name": "GCN", "hidden_channels": 8, "num_layers": 2, "jk": "lstm"},
    },
    "open-clip": lambda folder: {
        "name": "open-clip",
        "architecture": "tiny",
        "definition": {
            "embed_dim": 8,
            "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
            "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
        },
    },
    "image-text": lambda folder: {"name": "image-text", "image": TIMM, "text": bert(folder)},
}


def models(encoder: dict[str, Any]) -> tuple[ITNetModel, ITNetModel]:
    """Return a model, and the same with a converted encoder, of one seed."""
    made = []
    for reference in (encoder, {"name": "converted", "encoder": encoder}):
        torch.manual_seed(0)
        made.append(create_model("itnet-nano", depth=1, width=8, kernel={"heads": 2}, encoder=reference, heads={}))
    return made[0].eval(), made[1].eval()


@pytest.fixture(params=ENCODERS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ITNetModel, ITNetModel]:
    return models(ENCODERS[request.param](tmp_path / "model"))


def encoder_of(model: ITNetModel) -> ConvertedEncoder:
    [encoder] = model.encoders.values()
    assert isinstance(encoder, ConvertedEncoder)
    return encoder


def batch_of(model: ITNetModel) -> Any:
    torch.manual_seed(1)
    return encoder_of(model).example()


def test_a_converted_encoder_computes_the_same(pair: tuple[ITNetModel, ITNetModel]) -> None:
    """With pretrained weights, where there are some: they are loaded after the conversion."""
    model, converted = pair
    batch = batch_of(converted)
    [(modality, encoder)] = model.encoders.items()
    assert list(converted.encoders) == [modality]
    assert encoder_of(converted).labels(batch) == encoder.labels(batch)  # type: ignore[operator]
    assert any(isinstance(module, ConvertedLayer) for module in converted.modules())
    torch.testing.assert_close(converted(batch), model(batch), rtol=1e-5, atol=1e-5)
    operators = [module for module in encoder_of(converted).modules() if isinstance(module, IntegralOperator)]
    for operator in operators:
        operator.evaluator = TiledEvaluator()
    torch.testing.assert_close(converted(batch), model(batch), rtol=1e-5, atol=1e-5)


def test_gradients_are_the_same(pair: tuple[ITNetModel, ITNetModel]) -> None:
    batch = batch_of(pair[1])
    gradients: list[list[Tensor]] = []
    for model in pair:
        model(batch).square().sum().backward()
        gradients.append([torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)


def test_checkpoints_load_into_both(pair: tuple[ITNetModel, ITNetModel], tmp_path: Path) -> None:
    model, converted = pair
    batch = batch_of(converted)
    with torch.no_grad():
        for parameter in converted.parameters():
            parameter.add_(0.01)
    expected = converted(batch)
    save_model(converted, tmp_path / "checkpoint")
    torch.testing.assert_close(load_model(tmp_path / "checkpoint")(batch), expected, rtol=0, atol=0)
    load_weights(model, tmp_path / "checkpoint")
    torch.testing.assert_close(model(batch), expected, rtol=1e-5, atol=1e-5)
    assert {*model.state_dict()} == {*converted.state_dict()}


def test_a_task_fixes_options_of_the_encoder_inside() -> None:
    encoder = {"name": "converted", "encoder": {"name": "conv-stem"}}
    model = create_model("itnet-nano", depth=1, encoder=encoder, task="digits")
    plain = create_model("itnet-nano", encoder="conv-stem", task="digits")
    assert model.config is not None
    assert plain.config is not None
    assert model.config["encoders"]["image"]["encoder"]["channels"] == 1
    assert model.config["position"] == plain.config["position"]


def test_a_part_of_an_encoder_may_be_converted() -> None:
    encoder = {"name": "image-text", "image": {"name": "converted", "encoder": TIMM}}
    model = create_model("itnet-nano", depth=1, encoder=encoder, heads={})
    image: Any = model.encoders["image-text"].image
    assert image.report.converted
    wrong = {"name": "image-text", "image": {"name": "converted", "encoder": {"name": "token"}}}
    with pytest.raises(ConfigError, match=r"model\.encoder\.image: found itnet-kernels/converted, which is of text"):
        create_model("itnet-nano", depth=1, encoder=wrong, heads={})


def test_what_is_left_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    encoder = {"name": "timm", "model": "test_resnet", "stage": 1}
    with caplog.at_level(logging.INFO, "itnet_kernels"):
        report = ConvertedEncoder(8, encoder=encoder).report
    assert report.counted
    assert report.left == {"encoder.body.maxpool": "MaxPool2d: a maximum is no integral"}
    assert caplog.messages == [f"itnet-image/timm: {report}"]


def test_an_encoder_without_layers_to_convert_is_refused() -> None:
    encoder = {"name": "converted", "encoder": {"name": "field", "channels": 3}}
    with pytest.raises(ConfigError, match=r"itnet-core/field, without a layer that can be converted \(Linear\)"):
        create_model("itnet-nano", depth=1, encoder=encoder, heads={})


@pytest.mark.parametrize("encoder", [{"name": "converted"}, {"name": "converted", "encoder": {"channels": 3}}])
def test_a_missing_encoder_is_an_error_with_its_place(encoder: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"model\.encoder\.encoder\.name: found nothing"):
        create_model("itnet-nano", encoder=encoder, heads={})


def test_a_task_of_another_modality_is_refused() -> None:
    encoder = {"name": "converted", "encoder": {"name": "conv-stem"}}
    with pytest.raises(ConfigError, match="itnet-kernels/converted, an encoder of image"):
        create_model("itnet-nano", encoder=encoder, task="audio-folder")
