"""Networks of torchaudio and timm for recordings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchaudio.models import Conformer
from torchaudio.transforms import MelSpectrogram

from evidence.baselines.images import residual
from itnet_audio.clips import Audio
from itnet_registry import create


def _sizes(reference: Mapping[str, Any]) -> tuple[int, int]:
    task = create("task", **reference)
    return int(task.encoder_options["sample_rate"]), int(task.head["classes"])


class LogMel(nn.Module):
    """torchaudio's log-mel spectrogram, (B, bands, frames), standardised over each clip; 0 after its end."""

    def __init__(self, sample_rate: int, bands: int = 40) -> None:
        super().__init__()
        hop = sample_rate // 100
        self.hop, self.mel = hop, MelSpectrogram(sample_rate, 256, 2 * hop, hop, n_mels=bands)

    def forward(self, clips: Audio) -> tuple[Tensor, Tensor]:
        """Return the spectrograms and their numbers of frames."""
        values = (self.mel(clips.waveform) + 1e-8).log()
        frames = (clips.lengths // self.hop).clamp(1, values.shape[-1])
        inside = (torch.arange(values.shape[-1], device=values.device) < frames.unsqueeze(1)).unsqueeze(1)
        count = inside.sum(-1, keepdim=True) * values.shape[1]
        mean = (values * inside).sum((1, 2), keepdim=True) / count
        variance = ((values - mean).square() * inside).sum((1, 2), keepdim=True) / count
        return (values - mean) * inside / (variance + 1e-5).sqrt(), frames


class MelResNet(nn.Module):
    """A residual network on the log-mel spectrogram."""

    def __init__(self, task: Mapping[str, Any], *, depth: int, widths: Sequence[int]) -> None:
        super().__init__()
        rate, classes = _sizes(task)
        self.mel, self.network = LogMel(rate), residual(1, classes, depth, widths, stride=2)

    def forward(self, clips: Audio) -> Tensor:
        """Return logits."""
        logits: Tensor = self.network(self.mel(clips)[0].unsqueeze(1))
        return logits


class MelConformer(nn.Module):
    """torchaudio's Conformer on the log-mel spectrogram in groups of frames, and the mean over time."""

    def __init__(
        self,
        task: Mapping[str, Any],
        *,
        dim: int,
        layers: int,
        heads: int,
        ratio: int = 2,
        group: int = 4,
        kernel: int = 15,
    ) -> None:
        super().__init__()
        rate, classes = _sizes(task)
        self.mel, self.group = LogMel(rate), group
        self.inputs = nn.Conv1d(40, dim, group, group)
        self.layers = Conformer(dim, heads, ratio * dim, layers, kernel)
        self.head = nn.Linear(dim, classes)

    def forward(self, clips: Audio) -> Tensor:
        """Return logits."""
        spectrogram, frames = self.mel(clips)
        values = self.inputs(spectrogram).transpose(1, 2)
        lengths = (frames // self.group).clamp(1, values.shape[1])
        lengths[lengths.argmax()] = values.shape[1]  # the Conformer makes its mask from the longest
        values, _ = self.layers(values, lengths)
        inside = (torch.arange(values.shape[1], device=values.device) < lengths.unsqueeze(1)).unsqueeze(-1)
        logits: Tensor = self.head((values * inside).sum(1) / lengths.unsqueeze(1))
        return logits


class M5(nn.Module):
    """Convolutions over the waveform (M5 of Dai et al. 2017), as in torchaudio's tutorial, of other widths."""

    def __init__(self, task: Mapping[str, Any], *, width: int) -> None:
        super().__init__()
        _, classes = _sizes(task)
        layers: list[nn.Module] = []
        channels = [1, width, width, 2 * width, 4 * width]
        for number, (i, o) in enumerate(itertools.pairwise(channels)):
            convolution = nn.Conv1d(i, o, 80 if number == 0 else 3, 4 if number == 0 else 1)
            layers += [convolution, nn.BatchNorm1d(o), nn.ReLU(), nn.MaxPool1d(4)]
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(channels[-1], classes)

    def forward(self, clips: Audio) -> Tensor:
        """Return logits."""
        logits: Tensor = self.head(self.layers(clips.waveform.unsqueeze(1)).mean(-1))
        return logits
