"""What this plugin brings. Imports no torch."""

from __future__ import annotations

from itnet_core import ComponentSpec, PresetSpec, hookimpl
from itnet_core.plugin.specs import Kind


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders and the tasks."""
    return [
        _spec("encoder", "mel", "mel:MelEncoder", "patches of a log-mel spectrogram, over time and frequency"),
        _spec("encoder", "waveform", "waveform:WaveformEncoder", "a strided convolutional stem over raw samples"),
        _spec("task", "speech-commands", "speech_commands:SpeechCommands", "35 spoken words (version 0.02)"),
        _spec("task", "audio-folder", "folder:AudioFolder", "a folder a class, of recordings of any length"),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack a task alone."""
    coarse = {"name": "itnet-audio/mel", "n_mels": 40, "patch_frames": 10, "patch_mels": 10}
    return [
        PresetSpec(
            name="audio-nano",
            summary="a few seconds of sound on a CPU",
            config={"preset": "itnet-core/itnet-nano", "encoder": coarse},
        ),
        PresetSpec(
            name="audio-s",
            summary="mel patches, the paper's S",
            config={"preset": "itnet-core/itnet-s", "encoder": {"name": "itnet-audio/mel"}},
        ),
    ]


def _spec(kind: Kind, name: str, target: str, summary: str) -> ComponentSpec:
    return ComponentSpec(kind=kind, name=name, target=f"itnet_audio.{target}", summary=summary, modality="audio")
