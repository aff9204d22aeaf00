"""What this plugin brings. Imports no torch."""

from __future__ import annotations

from itnet_core.component import ComponentSpec, Kind
from itnet_core.hookspecs import hookimpl


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders and the tasks."""
    return [
        _spec("encoder", "mel", "mel:MelEncoder", "patches of a log-mel spectrogram, over time and frequency"),
        _spec("encoder", "waveform", "waveform:WaveformEncoder", "a strided convolutional stem over raw samples"),
        _spec("task", "speech-commands", "speech_commands:SpeechCommands", "35 spoken words (version 0.02)"),
        _spec("task", "audio-folder", "folder:AudioFolder", "a folder a class, of recordings of any length"),
    ]


def _spec(kind: Kind, name: str, target: str, summary: str) -> ComponentSpec:
    return ComponentSpec(kind=kind, name=name, target=f"itnet_audio.{target}", summary=summary, modality="audio")
