from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_audio.clips import Audio
from itnet_registry import create_model, load_model, save_model


@pytest.mark.parametrize("encoder", ["mel", "waveform"])
def test_a_model_of_names_is_saved_loaded_and_the_same(encoder: str, tmp_path: Path) -> None:
    model = create_model("itnet-nano", encoder=encoder, head={"name": "classify", "classes": 3}).eval()
    audio = Audio.of([torch.randn(5000), torch.randn(3000)])
    save_model(model, tmp_path / "model")
    torch.testing.assert_close(load_model(tmp_path / "model").eval()(audio), model(audio))


def test_preset_and_task_make_a_model() -> None:
    """The task's rate and extent arrive in the encoder."""
    task = {"name": "audio-folder", "root": "nowhere", "classes": ["a", "b"], "sample_rate": 8000, "max_seconds": 3}
    model = create_model("audio-nano", task=task)
    config: Any = model.encoders["audio"].config
    assert (config.sample_rate, config.unit_seconds, config.n_mels) == (8000, 1.5, 40)
    assert model(Audio.of([torch.randn(9000)])).shape == (1, 2)
