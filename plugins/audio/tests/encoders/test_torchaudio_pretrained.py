"""With small models of torchaudio's architectures; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchaudio.models import Wav2Vec2Model, wav2vec2_model, wavlm_model

from itnet_audio.clips import Audio
from itnet_audio.encoders.torchaudio_pretrained import BUNDLES, TorchaudioEncoder
from itnet_core import ConfigError
from itnet_registry import create_model, load_model, save_model

SMALL: dict[str, Any] = {
    "extractor_conv_layer_config": [[4, 10, 5], [4, 3, 2], [4, 3, 2]],
    "encoder_embed_dim": 8,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 2,
    "encoder_num_layers": 2,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 8,
    "encoder_layer_drop": 0.0,
}


@pytest.fixture(params=["WAV2VEC2_BASE", "WAV2VEC2_LARGE_LV60K", "HUBERT_BASE", "WAVLM_BASE", "WAVLM_LARGE"])
def bundle(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def built(bundle: str, **options: Any) -> TorchaudioEncoder:
    torch.manual_seed(0)
    return TorchaudioEncoder(6, model=bundle, **{"architecture": SMALL, **options}).eval()


def own_model(bundle: str, aux: int | None = None) -> Wav2Vec2Model:
    """Return torchaudio's model of the architecture, of other weights."""
    torch.manual_seed(1)
    factory = wavlm_model if bundle.startswith("WAVLM") else wav2vec2_model
    return factory(**{**BUNDLES[bundle]._params, **SMALL, "aux_num_out": aux}).eval()


def clips(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(length, generator=generator) for length in lengths]


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_clip_has_the_hidden_states_of_the_weights_in_the_file(bundle: str, suffix: str, tmp_path: Path) -> None:
    """Without the layer that predicts letters, as after fine-tuning for speech recognition."""
    whole, path = own_model(bundle, aux=5), tmp_path / f"weights.{suffix}"
    batch = Audio.of([10 * clip for clip in clips(3000)])  # loud, so that constants added to the variance do not count
    (save_file if suffix == "safetensors" else torch.save)(whole.state_dict(), path)
    encoder = built(bundle, weights=str(path))
    encoder.load_pretrained()
    normalized = BUNDLES[bundle]._normalize_waveform
    samples = nn.functional.layer_norm(batch.waveform, (3000,)) if normalized else batch.waveform
    expected = whole.encoder(whole.feature_extractor(samples, None)[0])
    torch.testing.assert_close(encoder(batch).values, encoder.projection(expected), rtol=1e-4, atol=1e-4)


def test_the_field_of_a_clip_does_not_depend_on_its_batch(bundle: str) -> None:
    encoder, batch = built(bundle), clips(3000, 100, 2111, 3000)
    field = encoder(Audio.of(batch))
    torch.testing.assert_close(field.weights.sum(1), torch.ones(4))
    for i, clip in enumerate(batch):
        alone = encoder(Audio.of([clip]))
        count = alone.values.shape[1]
        torch.testing.assert_close(field.values[i, :count], alone.values[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(field.weights[i, :count], alone.weights[0])
        assert not field.weights[i, count:].any()


def test_a_point_lies_at_the_centre_of_its_samples() -> None:
    """The small stem sees 40 samples every 20."""
    positions = built("HUBERT_BASE")(Audio.of(clips(3000))).positions[0, :, 0]
    torch.testing.assert_close(positions[:2], torch.tensor([20.0, 40.0]) / 16000)


def test_every_parameter_learns(bundle: str) -> None:
    encoder = built(bundle).train()
    encoder(Audio.of(clips(3000, 2111))).values.square().sum().backward()
    assert not [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None]


def test_a_checkpoint_needs_no_bundle(bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = {"name": "torchaudio-pretrained", "model": bundle, "architecture": SMALL}
    model = create_model("itnet-nano", depth=1, encoder=encoder, heads={}).eval()
    batch = Audio.of(clips(3000, 2000))
    expected = model(batch)
    save_model(model, tmp_path / "checkpoint")
    monkeypatch.setattr("itnet_audio.encoders.torchaudio_pretrained.BUNDLES", {})
    torch.testing.assert_close(load_model(tmp_path / "checkpoint")(batch), expected, rtol=0, atol=0)


def test_weights_are_downloaded_only_where_the_configuration_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, whole = list[dict[str, Any]](), own_model("HUBERT_BASE")

    def get_model(dl_kwargs: dict[str, Any]) -> nn.Module:
        asked.append(dl_kwargs)
        return whole

    monkeypatch.setattr(type(BUNDLES["HUBERT_BASE"]), "get_model", lambda bundle, dl_kwargs: get_model(dl_kwargs))
    built("HUBERT_BASE").load_pretrained()
    assert asked == []
    encoder = built("HUBERT_BASE", download=True)
    encoder.load_pretrained()
    assert asked == [{"weights_only": True}]
    torch.testing.assert_close(dict(encoder.body.named_parameters()), dict(whole.named_parameters()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "HUBERT_BAS"}, r"TorchaudioEncoder\.model: found 'HUBERT_BAS'; .*Did you mean 'HUBERT_BASE'"),
        ({"sample_rate": 8000}, r"TorchaudioEncoder\.sample_rate: found 8000; expected 16000"),
        ({"architecture": {"encoder_width": 3}}, r"found .*'encoder_width'; expected arguments of torchaudio"),
        ({"weights": "nowhere.pt", "download": True}, "expected either weights or download"),
    ],
)
def test_a_wrong_configuration_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TorchaudioEncoder(6, **{"model": "HUBERT_BASE", **options})


class Code:
    """Whatever unpickling would build."""


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no file of this name"),
        (lambda path: path.write_bytes(b"short"), "expected weights of HUBERT_BASE"),
        (lambda path: torch.save({"code": Code()}, path), "[Ww]eights.only"),
        (lambda path: torch.save([torch.ones(1)], path), "no state dict"),
        (lambda path: torch.save({"other": torch.ones(1)}, path), "Missing key"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(write: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    write(tmp_path / "weights.pt")
    encoder = built("HUBERT_BASE", weights=str(tmp_path / "weights.pt"))
    with pytest.raises(ConfigError, match=rf"TorchaudioEncoder: .*weights\.pt: found .*{message}"):
        encoder.load_pretrained()
