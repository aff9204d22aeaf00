"""Encoder of torchaudio's pretrained models of sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import PositiveFloat, PositiveInt, model_validator
from safetensors.torch import load_file
from torch import Tensor, nn
from torchaudio import pipelines
from torchaudio.models import Wav2Vec2Model, wav2vec2_model, wavlm_model

from itnet_audio.clips import Audio, check_audio, example
from itnet_audio.encoders.stem import frames_of_samples
from itnet_core import ComponentConfig, ConfigError, Encoder, Field
from itnet_core.plugin.errors import did_you_mean

BUNDLES: Mapping[str, Any] = {
    name: bundle for name, bundle in vars(pipelines).items() if isinstance(bundle, pipelines.Wav2Vec2Bundle)
}
"""Torchaudio's pretrained wav2vec 2.0, HuBERT and WavLM, by their names."""

HEAD, HEAD_LAYER = "aux_num_out", "aux"
"""Argument and name of the layer that predicts letters, which the encoder leaves out."""


class TorchaudioEncoder(Encoder):
    """Frames of a pretrained model of torchaudio as points; the value is a linear map of a frame's hidden state.

    `model` names one of torchaudio's bundles: wav2vec 2.0, HuBERT or WavLM, `WAV2VEC2_BASE`, `HUBERT_LARGE`, … Weights
    come from a file, or are downloaded if the configuration says so; `create_model` loads them. A point lies at the
    centre of the samples that its frame is computed from.

    The field of a clip does not depend on the rest of the batch. Base models, whose first norm is over time, and WavLM
    do not mask padding; their clips are therefore computed in groups of equal length, which `torch.export` does not
    support.

    A complete configuration contains the architecture, and a checkpoint contains the weights, so that a checkpoint
    needs neither the file nor the bundle. To keep the model as it is, set `train.freeze: [encoder.audio.body]`.

    Example:
        >>> from itnet_audio.clips import Audio
        >>> small = {"encoder_embed_dim": 16, "encoder_num_layers": 1, "encoder_num_heads": 2}
        >>> encoder = TorchaudioEncoder(64, model="WAV2VEC2_BASE", architecture=small)
        >>> encoder(Audio.of([torch.randn(16000), torch.randn(12000)])).values.shape
        torch.Size([2, 49, 64])
    """

    modality = "audio"
    axes = "t"

    class Config(ComponentConfig):
        model: str
        """Name of a bundle of `torchaudio.pipelines`, such as `HUBERT_BASE`."""

        weights: str | None = None
        """File of weights with torchaudio's names: safetensors, or a state dict as `torch.save` writes it, read with
        `weights_only=True`. Those of a layer that predicts letters are ignored."""

        download: bool = False
        """Download the bundle's weights."""

        sample_rate: PositiveInt = 16000
        """Sample rate of the clips in Hz; the one that the model was trained with."""

        normalization: bool | None = None
        """Standardise clips to mean 0 and variance 1; by default as the bundle does."""

        unit_seconds: PositiveFloat = 1.0
        """Seconds in one unit of t. With half the length of a clip, the clip spans 2 units, as [-1, 1] does."""

        architecture: dict[str, Any] | None = None
        """Arguments of torchaudio's `wav2vec2_model` or `wavlm_model`; those left out are the bundle's."""

        @model_validator(mode="after")
        def _one_source(self) -> Self:
            if self.download and self.weights is not None:
                raise ValueError("either weights or download")
            return self

        def completed(self) -> Self:
            """Take `architecture` and `normalization` from the bundle.

            Raises:
                ConfigError: there is no such bundle, or it has another sample rate.
            """
            bundle = BUNDLES.get(self.model)
            if bundle is None:
                raise ConfigError(
                    "TorchaudioEncoder.model",
                    found=repr(self.model),
                    expected=f"one of {', '.join(sorted(BUNDLES))}",
                    hint=did_you_mean(self.model.upper(), BUNDLES),
                )
            if self.sample_rate != bundle.sample_rate:
                expected = f"{bundle.sample_rate:.0f}, with which {self.model} was trained"
                raise ConfigError("TorchaudioEncoder.sample_rate", found=str(self.sample_rate), expected=expected)
            architecture = {**bundle._params, **(self.architecture or {}), HEAD: None}
            normalization = bundle._normalize_waveform if self.normalization is None else self.normalization
            return self.model_copy(update={"architecture": architecture, "normalization": normalization})

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        if self.config.architecture is None or self.config.normalization is None:
            raise ConfigError(
                "TorchaudioEncoder.config",
                found="no architecture or no normalization",
                expected="a complete configuration",
                hint="Call config.completed() to take them from the bundle.",
            )
        self.wavlm = "encoder_num_buckets" in self.config.architecture
        with self._errors("arguments of torchaudio's wav2vec2_model or wavlm_model"):
            self.body = (wavlm_model if self.wavlm else wav2vec2_model)(**self.config.architecture)
        self.projection = nn.Linear(self.config.architecture["encoder_embed_dim"], dim)

    def load_pretrained(self) -> None:
        """Load the weights of the file, or download them; without either, do nothing.

        Raises:
            ConfigError: the weights cannot be read or downloaded, or do not fit the architecture.
        """
        if self.config.weights is None and not self.config.download:
            return
        with self._errors(f"weights of {self.config.model}, with torchaudio's names"):
            state = self._downloaded() if self.config.download else _read(Path(self.config.weights).expanduser())
            self.body.load_state_dict({name: state[name] for name in state if not name.startswith(f"{HEAD_LAYER}.")})

    def _downloaded(self) -> dict[str, Tensor]:
        whole: Any = BUNDLES[self.config.model].get_model(dl_kwargs={"weights_only": True})
        state: dict[str, Tensor] = (whole if isinstance(whole, Wav2Vec2Model) else whole.model).state_dict()
        return state

    @contextmanager
    def _errors(self, expected: str) -> Iterator[None]:
        """Convert every exception of torchaudio, torch and safetensors to a ConfigError."""
        try:
            yield
        except Exception as error:
            place = self.config.model if self.config.weights is None else self.config.weights
            found = " ".join(str(error).split())
            raise ConfigError(f"TorchaudioEncoder: {place}", found=f"{found:.300}", expected=expected) from error

    def forward(self, inputs: Audio) -> Field:
        """Encode clips as the field of the model's frames.

        Args:
            inputs: clips of `sample_rate`.

        Raises:
            ShapeError: a tensor has another shape or dtype, or samples that are not finite.
        """
        waveform, lengths = check_audio(inputs, "TorchaudioEncoder(inputs)")

        def states(samples: Tensor, lengths: Tensor | None) -> Tensor:
            hidden: Tensor = self.body(samples, lengths)[0]
            return hidden

        frames = frames_of_samples(
            waveform.to(self.projection.weight.dtype),
            lengths,
            [(layer.kernel_size, layer.stride) for layer in self.body.feature_extractor.conv_layers],
            states,
            normalization=self.config.normalization,
            masks=self.config.architecture["extractor_mode"] == "layer_norm" and not self.wavlm,
        )
        unit = self.config.unit_seconds * self.config.sample_rate
        return frames._replace(values=self.projection(frames.values)).field(unit)

    def example(self) -> Audio:
        """Return two clips of noise."""
        return example(self.config.sample_rate)


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file; no code in it is run."""
    if not path.is_file():  # a FIFO would be waited for
        raise FileNotFoundError("no file of this name")
    if path.suffix == ".safetensors":
        return load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError("no state dict")
    return state
