"""With tiny models that are written as transformers writes them; nothing is downloaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModel,
    BertConfig,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from itnet_audio.clips import Audio
from itnet_audio.encoders.transformers_audio import TransformersAudioEncoder
from itnet_core import ConfigError, ShapeError
from itnet_registry import create_model, load_model, save_model

SIZE: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "conv_dim": [4] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
MODELS: dict[str, Callable[[], Any]] = {
    "wav2vec2": lambda: Wav2Vec2Model(Wav2Vec2Config(**SIZE)),
    "wav2vec2-large": lambda: Wav2Vec2Model(
        Wav2Vec2Config(**SIZE, feat_extract_norm="layer", do_stable_layer_norm=True)
    ),
    "hubert": lambda: HubertModel(HubertConfig(**SIZE)),
    "whisper": lambda: WhisperModel(
        WhisperConfig(
            vocab_size=9,
            d_model=8,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=8,
            decoder_ffn_dim=8,
            max_source_positions=50,
            max_target_positions=8,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
    ),
}


def saved(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    MODELS[name]().save_pretrained(folder)
    return folder


@pytest.fixture(params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return saved(request.param, tmp_path / request.param)


def loaded(folder: Path, **options: Any) -> TransformersAudioEncoder:
    encoder = TransformersAudioEncoder(6, model=str(folder), **options).eval()
    encoder.load_pretrained()
    return encoder


def clips(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(length, generator=generator) for length in lengths]


def test_a_clip_has_the_hidden_states_of_transformers_own_pipeline(folder: Path) -> None:
    [clip] = clips(9000)
    encoder, model = loaded(folder), AutoModel.from_pretrained(folder).eval()
    extractor: Any
    if folder.name == "whisper":
        extractor = WhisperFeatureExtractor(chunk_length=1)  # type: ignore[no-untyped-call]
        features = extractor(clip.numpy(), sampling_rate=16000, return_tensors="pt").input_features
        states = model.encoder(features).last_hidden_state[:, :29]
    else:
        extractor = Wav2Vec2FeatureExtractor(do_normalize=True)  # type: ignore[no-untyped-call]
        states = model(extractor(clip.numpy(), sampling_rate=16000, return_tensors="pt").input_values).last_hidden_state
    torch.testing.assert_close(encoder(Audio.of([clip])).values, encoder.projection(states), rtol=1e-3, atol=1e-3)


def test_the_field_of_a_clip_does_not_depend_on_its_batch(folder: Path) -> None:
    encoder, batch = loaded(folder), clips(9000, 100, 6111, 9000)
    field = encoder(Audio.of(batch))
    torch.testing.assert_close(field.weights.sum(1), torch.ones(4))
    for i, clip in enumerate(batch):
        alone = encoder(Audio.of([clip]))
        count = alone.values.shape[1]
        torch.testing.assert_close(field.values[i, :count], alone.values[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(field.positions[i, :count], alone.positions[0])
        torch.testing.assert_close(field.weights[i, :count], alone.weights[0])
        assert not field.weights[i, count:].any()


def test_a_point_lies_at_the_centre_of_its_samples(folder: Path) -> None:
    """The stem of wav2vec 2.0 sees 400 samples every 320; Whisper's frames are centred on multiples of 320."""
    encoder = loaded(folder, normalization=False, unit_seconds=1.0)
    field = encoder(Audio.of(clips(9000)))
    step = field.positions[0, 1, 0] - field.positions[0, 0, 0]
    assert float(step) == pytest.approx(320 / 16000)
    assert float(field.positions[0, 0, 0]) == pytest.approx(0 if folder.name == "whisper" else 200 / 16000, abs=1e-7)
    halved = loaded(folder, normalization=False, unit_seconds=2.0)(Audio.of(clips(9000)))
    torch.testing.assert_close(halved.positions * 2, field.positions)


def test_every_parameter_learns(folder: Path) -> None:
    encoder = TransformersAudioEncoder(6, model=str(folder)).train()
    encoder(Audio.of(clips(9000, 6111))).values.square().sum().backward()
    assert not [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None]


def test_a_checkpoint_needs_no_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = {"name": "transformers-audio", "model": str(folder)}
    model = create_model("itnet-nano", depth=1, encoder=encoder, heads={}).eval()
    batch = Audio.of(clips(5000, 3000))
    expected = model(batch)
    save_model(model, tmp_path / "checkpoint")
    shutil.rmtree(folder)
    monkeypatch.setattr(AutoModel, "from_pretrained", lambda *names, **options: pytest.fail("weights were read"))
    torch.testing.assert_close(load_model(tmp_path / "checkpoint")(batch), expected)


def test_the_processors_settings_are_taken(tmp_path: Path) -> None:
    folder = saved("wav2vec2", tmp_path / "model")
    assert TransformersAudioEncoder(6, model=str(folder)).config.normalization is True
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)  # type: ignore[no-untyped-call]
    assert TransformersAudioEncoder(6, model=str(folder)).config.normalization is False
    assert TransformersAudioEncoder(6, model=str(folder), normalization=True).config.normalization is True
    with pytest.raises(ConfigError, match="sample_rate: found 8000; expected 16000, with which .* was trained"):
        TransformersAudioEncoder(6, model=str(folder), sample_rate=8000)


def test_the_hub_is_asked_only_where_download_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = saved("hubert", tmp_path / "model"), []

    def hub(name: str, file: str, **options: Any) -> str | None:
        asked.append((name, file))
        return str(folder / file) if (folder / file).exists() else None

    monkeypatch.setattr("itnet_audio.encoders.transformers_audio.cached_file", hub)
    with pytest.raises(ConfigError, match="some/hubert, without config.json; .* download: true"):
        TransformersAudioEncoder(6, model="some/hubert")
    assert asked == []
    TransformersAudioEncoder(6, model="some/hubert", download=True)
    assert asked == [("some/hubert", "config.json"), ("some/hubert", "preprocessor_config.json")]


def pickled(folder: Path) -> None:
    torch.save(AutoModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def incomplete(folder: Path) -> None:
    other = Wav2Vec2Model(Wav2Vec2Config(**SIZE))
    other.save_pretrained(folder, state_dict={k: v for k, v in other.state_dict().items() if "q_proj" not in k})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (pickled, "no file named model.safetensors"),
        (incomplete, "found no .*q_proj"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "expected a transformers model"),
        (lambda folder: (folder / "config.json").unlink(), "without config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: Expecting"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json: no JSON object"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "nonesuch"}'), "nonesuch"),
        (
            lambda folder: (folder / "config.json").write_text(json.dumps(BertConfig().to_dict())),
            "found an architecture of type bert; expected wav2vec2, hubert",
        ),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(spoil: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    folder = saved("wav2vec2", tmp_path / "model")
    spoil(folder)
    with pytest.raises(ConfigError, match=f"TransformersAudioEncoder.*{message}"):
        loaded(folder)


def test_clips_that_are_too_long_for_whisper_are_refused(tmp_path: Path) -> None:
    encoder = loaded(saved("whisper", tmp_path / "model"))
    encoder(Audio.of(clips(16000)))
    with pytest.raises(ShapeError, match="found clips of 16001 samples; expected at most 16000"):
        encoder(Audio.of(clips(16001)))


def test_whispers_spectrogram_is_that_of_its_processor(tmp_path: Path) -> None:
    encoder, [clip] = loaded(saved("whisper", tmp_path / "model")), clips(16000)
    extractor: Any = WhisperFeatureExtractor(chunk_length=1)  # type: ignore[no-untyped-call]
    expected = extractor(clip.numpy(), sampling_rate=16000, return_tensors="np").input_features
    numpy.testing.assert_allclose(encoder.log_mel(clip.unsqueeze(0)).numpy(), expected, rtol=1e-4, atol=1e-4)
