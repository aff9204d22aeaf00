"""Components and presets of `itnet-audio`. Imports no torch."""

from __future__ import annotations

from functools import partial

from itnet_core import ComponentSpec, PresetSpec, hookimpl

audio = partial(ComponentSpec, modality="audio")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoders and the tasks."""
    return [
        audio("encoder", "mel", "itnet_audio.encoders.mel:MelEncoder", "patches of a log-mel spectrogram"),
        audio(
            "encoder",
            "waveform",
            "itnet_audio.encoders.waveform:WaveformEncoder",
            "convolutions over raw samples",
            citations=("baevski2020wav2vec2",),
        ),
        audio(
            "encoder",
            "transformers-audio",
            "itnet_audio.encoders.transformers_audio:TransformersAudioEncoder",
            "a pretrained wav2vec 2.0, HuBERT, WavLM or Whisper of transformers",
            requires=("transformers",),
            citations=("wolf2019transformers",),
        ),
        audio(
            "encoder",
            "torchaudio-pretrained",
            "itnet_audio.encoders.torchaudio_pretrained:TorchaudioEncoder",
            "a pretrained wav2vec 2.0, HuBERT or WavLM of torchaudio",
            requires=("safetensors",),
            citations=("yang2021torchaudio",),
        ),
        audio(
            "task",
            "speech-commands",
            "itnet_audio.tasks.speech_commands:SpeechCommands",
            "35 spoken words, v0.02",
            citations=("warden2018speechcommands",),
        ),
        audio("task", "audio-folder", "itnet_audio.tasks.folder:AudioFolder", "your recordings, one folder per class"),
        audio("task", "audio-shards", "itnet_audio.tasks.shards:AudioShards", "your recordings in WebDataset shards"),
        audio(
            "task",
            "audio-table",
            "itnet_audio.tasks.table:AudioTable",
            "your recordings in parquet or Arrow files",
            requires=("datasets",),
        ),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack only a task."""
    coarse = {"name": "itnet-audio/mel", "n_mels": 40, "patch_frames": 10, "patch_mels": 10}
    mel = {"name": "itnet-audio/mel"}
    return [
        PresetSpec(
            "audio-nano", "a few seconds of sound on a CPU", {"preset": "itnet-core/itnet-nano", "encoder": coarse}
        ),
        PresetSpec("audio-s", "the paper's S, on mel patches", {"preset": "itnet-core/itnet-s", "encoder": mel}),
    ]
