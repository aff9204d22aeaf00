"""Encoder of pretrained transformers models of sound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks
from transformers import AutoConfig, AutoModel
from transformers.utils.hub import cached_file

from itnet_audio.clips import Audio, check_audio, example
from itnet_audio.encoders.stem import Frames, frames_of_samples
from itnet_core import ComponentConfig, ConfigError, Encoder, Field, ShapeError, read_regular

MOST = 2**20
"""Largest size of a JSON file of a model in bytes."""

WINDOW, HOP = 400, 160
"""Samples of a frame of Whisper's spectrogram, and from frame to frame."""


class TransformersAudioEncoder(Encoder):
    """Frames of a pretrained model of sound as points; the value is a linear map of a frame's hidden state.

    Two families of transformers are supported: models of raw samples with a convolutional stem (wav2vec 2.0, HuBERT,
    WavLM, …) and the encoder of Whisper. A point lies at the centre of the samples that its frame is computed from.

    The field of a clip does not depend on the rest of the batch. Models whose first norm is over time, such as
    wav2vec2-base, do not mask padding; their clips are therefore computed in groups of equal length, which
    `torch.export` does not support. Whisper sees every
    clip with silence up to 30 seconds, as in its training; only the frames of the clip become points.

    A complete configuration contains the architecture, and a checkpoint contains the weights, so that a checkpoint
    needs neither the folder nor the hub. `create_model` loads the pretrained weights. Weights are read only from
    safetensors, and code that comes with a model is never run. To keep the model as it is, set
    `train.freeze: [encoder.audio.body]`.

    Example:
        >>> from itnet_audio.clips import Audio
        >>> from transformers import Wav2Vec2Config, Wav2Vec2Model
        >>> tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        >>> _ = Wav2Vec2Model(Wav2Vec2Config(conv_dim=[8] * 7, **tiny)).save_pretrained("wav2vec2")
        >>> encoder = TransformersAudioEncoder(64, model="wav2vec2")
        >>> encoder.load_pretrained()
        >>> encoder(Audio.of([torch.randn(16000), torch.randn(12000)])).values.shape
        torch.Size([2, 49, 64])
    """

    modality = "audio"
    axes = "t"

    class Config(ComponentConfig):
        model: str
        """Folder with config.json and model.safetensors, or a name on the hub with `download`."""

        download: bool = False
        """Allow downloading the model from the hub."""

        sample_rate: PositiveInt = 16000
        """Sample rate of the clips in Hz; the one that the model was trained with."""

        normalization: bool | None = None
        """Standardise clips to mean 0 and variance 1; by default as preprocessor_config.json says, or else `true`.
        Whisper ignores it."""

        unit_seconds: PositiveFloat = 1.0
        """Seconds in one unit of t. With half the length of a clip, the clip spans 2 units, as [-1, 1] does."""

        architecture: dict[str, Any] | None = None
        """Content of the model's config.json; by default read from `model`."""

        def completed(self) -> Self:
            """Read `architecture` and `normalization` from the model's folder, or fetch them from the hub.

            Raises:
                ConfigError: they cannot be read or fetched, or the model has another sample rate.
            """
            if self.architecture is not None and self.normalization is not None:
                return self
            architecture = self.architecture or _content(self, "config.json")
            if architecture is None:
                raise ConfigError(
                    "TransformersAudioEncoder.model",
                    found=f"{self.model}, without config.json",
                    expected="a folder with config.json and model.safetensors",
                    hint="" if self.download else "For a name on the hub, write download: true.",
                )
            processor = (_content(self, "preprocessor_config.json") if self.normalization is None else None) or {}
            rate = processor.get("sampling_rate", self.sample_rate)
            if rate != self.sample_rate:
                expected = f"{rate}, with which {self.model} was trained"
                raise ConfigError(
                    "TransformersAudioEncoder.sample_rate", found=str(self.sample_rate), expected=expected
                )
            normalization = processor.get("do_normalize", True) if self.normalization is None else self.normalization
            return self.model_copy(update={"architecture": architecture, "normalization": bool(normalization)})

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        if self.config.architecture is None or self.config.normalization is None:
            raise ConfigError(
                "TransformersAudioEncoder.config",
                found="no architecture or no normalization",
                expected="a complete configuration",
                hint="Call config.completed() to read them from the model.",
            )
        with self._errors():
            architecture = AutoConfig.for_model(**self.config.architecture)
        self.whisper = architecture.model_type == "whisper"
        if not self.whisper and (
            not hasattr(architecture, "conv_stride") or getattr(architecture, "add_adapter", False)
        ):
            raise ConfigError(
                f"TransformersAudioEncoder.model: {self.config.model}",
                found=f"an architecture of type {architecture.model_type}",
                expected="wav2vec2, hubert, wavlm or another model of raw samples, without an adapter, or whisper",
            )
        for masking in ("mask_time_prob", "mask_feature_prob"):  # of the pretraining
            setattr(architecture, masking, 0.0)
        with self._errors():
            whole: Any = AutoModel.from_config(architecture)  # type: ignore[no-untyped-call]
        self.body: Any = _encoder(whole.float())  # many architectures name half precision
        self.projection = nn.Linear(self.body.config.hidden_size, dim)

    def load_pretrained(self) -> None:
        """Load the model's weights from its folder, or from the hub with `download`; without either, do nothing.

        Raises:
            ConfigError: the weights cannot be found, are not in safetensors, or do not fit the architecture.
        """
        folder = Path(self.config.model).expanduser()
        if not folder.is_dir() and not self.config.download:
            return
        with self._errors():
            whole, info = AutoModel.from_pretrained(
                str(folder) if folder.is_dir() else self.config.model,
                config=self.body.config,
                use_safetensors=True,
                local_files_only=folder.is_dir(),
                output_loading_info=True,
            )
            if absent := sorted(info["missing_keys"]):
                raise ValueError(f"no {', '.join(absent[:3])}")
            self.body.load_state_dict(_encoder(whole).state_dict())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert every exception of transformers and safetensors to a ConfigError."""
        try:
            yield
        except Exception as error:
            raise ConfigError(
                f"TransformersAudioEncoder.model: {self.config.model}",
                found=f"{str(error).partition(chr(10))[0]:.200}",
                expected="a transformers model with its weights in model.safetensors",
            ) from error

    def forward(self, inputs: Audio) -> Field:
        """Encode clips as the field of the model's frames.

        Args:
            inputs: clips of `sample_rate`; for Whisper of at most 30 seconds.

        Raises:
            ShapeError: a tensor has another shape or dtype, or samples that are not finite; or a clip is too long.
        """
        waveform, lengths = check_audio(inputs, "TransformersAudioEncoder(inputs)")
        encode = self._of_spectrogram if self.whisper else self._of_samples
        frames = encode(waveform.to(self.projection.weight.dtype), lengths)
        unit = self.config.unit_seconds * self.config.sample_rate
        return frames._replace(values=self.projection(frames.values)).field(unit)

    def example(self) -> Audio:
        """Return two clips of noise."""
        return example(self.config.sample_rate)

    def _of_samples(self, waveform: Tensor, lengths: Tensor) -> Frames:
        """Compute the frames of a model of raw samples."""
        c = self.body.config

        def states(samples: Tensor, lengths: Tensor | None) -> Tensor:
            mask = None if lengths is None else torch.arange(samples.shape[1], device=lengths.device) < lengths[:, None]
            hidden: Tensor = self.body(samples, attention_mask=None if mask is None else mask.long()).last_hidden_state
            return hidden

        layers = list(zip(c.conv_kernel, c.conv_stride, strict=True))
        options = {"normalization": self.config.normalization, "masks": c.feat_extract_norm == "layer"}
        return frames_of_samples(waveform, lengths, layers, states, **options)

    def _of_spectrogram(self, waveform: Tensor, lengths: Tensor) -> Frames:
        """Compute the frames of Whisper, which are centred on the multiples of their step."""
        cell = 2 * HOP
        longest = self.body.config.max_source_positions * cell
        if waveform.shape[1] > longest:
            raise ShapeError(
                "TransformersAudioEncoder(inputs)",
                found=f"clips of {waveform.shape[1]} samples",
                expected=f"at most {longest}, for which {self.config.model} was trained",
            )
        count = (waveform.shape[1] + cell - 1) // cell
        padded = F.pad(waveform, (0, longest - waveform.shape[1]))
        states: Tensor = self.body(self.log_mel(padded)).last_hidden_state
        return Frames(states[:, :count], (lengths + cell - 1) // cell, cell, -cell / 2)

    def log_mel(self, waveform: Tensor) -> Tensor:
        """Compute Whisper's log-mel spectrogram, shape (B, bands, T / 160), from samples of shape (B, T).

        After Radford et al., "Robust speech recognition via large-scale weak supervision" (arXiv 2212.04356).
        """
        precise = torch.promote_types(waveform.dtype, torch.float32)
        with torch.autocast(waveform.device.type, enabled=False):
            window = torch.hann_window(WINDOW, device=waveform.device, dtype=precise)
            spectrum = torch.stft(waveform.to(precise), WINDOW, HOP, window=window, return_complex=True)[..., :-1]
            power = torch.view_as_real(spectrum).square().sum(-1)
            rate, bands = self.config.sample_rate, self.body.config.num_mel_bins
            filters = melscale_fbanks(WINDOW // 2 + 1, 0.0, rate / 2, bands, rate, norm="slaney", mel_scale="slaney")
            levels = (filters.to(power).T @ power).clamp(min=1e-10).log10()
            levels = torch.maximum(levels, levels.amax((1, 2), keepdim=True) - 8.0)
        return ((levels + 4.0) / 4.0).to(waveform.dtype)


def _encoder(model: Any) -> Any:
    """Return the part of a model that reads sound."""
    return model.encoder if model.config.is_encoder_decoder else model


def _content(config: Any, name: str) -> dict[str, Any] | None:
    """Return the content of a JSON file of the model, or `None` if the model has no such file."""
    folder = Path(config.model).expanduser()
    try:
        if folder.is_dir():
            path: Any = folder / name if (folder / name).exists() else None
        else:
            found = config.download
            path = cached_file(config.model, name, _raise_exceptions_for_missing_entries=False) if found else None
        content: dict[str, Any] | None = None if path is None else json.loads(read_regular(Path(path), MOST))
        if content is not None and not isinstance(content, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            "TransformersAudioEncoder.model",
            found=f"{config.model}, {name}: {str(error).partition(chr(10))[0]:.200}",
            expected="a transformers model",
        ) from None
    return content
