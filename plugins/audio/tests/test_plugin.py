from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch

from itnet_audio.clips import Audio
from itnet_audio.plugin import itnet_register_components
from itnet_core import API, ComponentSpec, Encoder, Task
from itnet_registry import create_model, load_model, save_model

SPECS = itnet_register_components(API)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_declaration_is_true(spec: ComponentSpec) -> None:
    module, _, name = spec.target.partition(":")
    component = getattr(import_module(module), name)
    assert issubclass(component, {"encoder": Encoder, "task": Task}[spec.kind])
    assert component.modality == spec.modality == "audio"
    assert component.Config.__doc__


def test_it_is_found_and_imports_no_torch() -> None:
    [entry] = [each for each in entry_points(group="itnet.plugins") if each.name == "audio"]
    code = f"import sys, {entry.value}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("encoder", ["mel", "waveform"])
def test_a_model_of_names_is_saved_loaded_and_the_same(encoder: str, tmp_path: Path) -> None:
    model = create_model("itnet-nano", encoder=encoder, head={"name": "classify", "classes": 3}).eval()
    audio = Audio.of([torch.randn(5000), torch.randn(3000)])
    save_model(model, tmp_path / "model")
    torch.testing.assert_close(load_model(tmp_path / "model").eval()(audio), model(audio))
