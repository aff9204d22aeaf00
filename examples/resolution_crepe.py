"""Use CREPE, a pretrained pitch estimator, on recordings of other sampling rates than its own.

Run `python examples/fetch_data.py crepe languages`, then `python examples/resolution_crepe.py`, two minutes of a core.
CREPE was trained on frames of 1,024 samples at 16 kHz. Its first convolution is an integral over time, from the
waveform to 256 points a frame, and all its other layers are on these points. So the model works at another rate if the
first kernel stays what it is in seconds:

- kernel in seconds: the kernel is a function of time, band-limited like the waveform, and sampled at the new rate; it
  moves by as many samples as reach the same 256 points. The recording is read as it is.
- kernel in samples: the same taps, from sample to sample, on 1,024 samples of the recording. All pitches are off by the
  ratio of the rates, which is known and corrected.
- resampled: the recording is resampled to 16 kHz, and the model is the trained one.
"""

from __future__ import annotations

import argparse
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from claims import DATA, LOWEST_PITCH, PitchEstimator, speech, standardise
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import resample

from itnet_kernels import convert_model

TRAINED, FRAME, RATES = 16000, 1024, (4000, 8000, 16000, 24000, 32000, 48000)
WAYS = "kernel in seconds", "kernel in samples", "resampled"
NEAR = 50.0
"""Pitches count as equal within half a semitone, in cents."""


def at_rate(model: PitchEstimator, rate: int) -> PitchEstimator:
    """Return the model for another sampling rate, with its first kernel as it is in seconds, by operators."""
    twin: Any = deepcopy(model)
    taps, stride = twin.conv1.kernel_size[0] * rate // TRAINED, twin.conv1.stride[0] * rate // TRAINED
    around = TRAINED // 250  # zeros around the kernel, since resampling mixes neighbouring taps
    kernel = resample(F.pad(twin.conv1.weight.detach()[:, 0, :, 0], (around, around)), TRAINED, rate) * TRAINED / rate
    first = around * rate // TRAINED
    convolution = nn.Conv2d(1, len(kernel), (taps, 1), (stride, 1))
    weights = {"weight": kernel[:, None, first : first + taps, None], "bias": twin.conv1.bias}
    convolution.load_state_dict(weights)
    twin.conv1 = convolution
    convert_model(twin)
    estimator: PitchEstimator = twin
    return estimator


@torch.inference_mode()
def pitches(model: nn.Module, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pitches of frames in cents above 10 Hz, and the salience of each, (B,) both."""
    salience = torch.cat([model(standardise(part)) for part in frames.split(256)])  # type: ignore[no-untyped-call]
    bins, best = torch.arange(360), salience.argmax(-1, keepdim=True)
    near = salience * ((bins - best).abs() <= 4)
    return LOWEST_PITCH + 20 * (near * bins).sum(-1) / near.sum(-1), salience.amax(-1)


def tones(pitch: Tensor, samples: int, rate: int) -> Tensor:
    """Return sums of up to eight harmonics, those below half the sampling rate, (B, samples)."""
    generator = torch.Generator().manual_seed(1)
    harmonic, time = torch.arange(1.0, 9), torch.arange(samples) / rate
    amplitude = torch.rand(len(pitch), 8, generator=generator) / harmonic
    amplitude[:, 0] = 1
    frequency = 10 * 2 ** (pitch.unsqueeze(-1) / 1200) * harmonic
    phase = 2 * math.pi * (frequency.unsqueeze(-1) * time + torch.rand(len(pitch), 8, 1, generator=generator))
    return ((amplitude * (frequency < rate / 2)).unsqueeze(-1) * phase.sin()).sum(1)


def frames(waves: Tensor, samples: int, rate: int) -> Tensor:
    """Return the frames of waves, one each 20 ms, (B, samples)."""
    return waves.unfold(1, samples, rate // 50).flatten(0, 1)


def near(found: Tensor, expected: Tensor) -> str:
    """Return the share of pitches that are equal within `NEAR`, in percent."""
    return f"{100 * float(((found - expected).abs() < NEAR).float().mean()):.1f}"


def main() -> None:
    """Estimate pitches at each rate in each way, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="where fetch_data.py put the data (default: data)")
    parser.add_argument("--tones", type=int, default=500, help="the number of tones (default: 500)")
    options = parser.parse_args()
    model, waves = PitchEstimator.pretrained(options.data), speech(options.data, seconds=3.0)
    true = 1200 * (math.log2(6) + math.log2(25) * torch.rand(options.tones, generator=torch.Generator().manual_seed(0)))
    as_trained, salience = pitches(model, frames(waves, FRAME, TRAINED))
    voiced = salience > 0.5
    tables = [
        Table("sampling rate", *ways, title=f"pitches within {NEAR:g} cents, %, of {number}")
        for number, ways in ((f"{len(true)} tones", WAYS), (f"{int(voiced.sum())} frames of speech", WAYS[::2]))
    ]
    for rate in RATES:
        samples, twin = FRAME * rate // TRAINED, at_rate(model, rate)
        heard, said = tones(true, 2 * max(samples, FRAME), rate), resample(waves, TRAINED, rate)
        shift = 1200 * math.log2(rate / TRAINED)
        ours, original = pitches(twin, heard[:, :samples])[0], pitches(model, heard[:, :FRAME])[0] + shift
        resampled = pitches(model, resample(heard, rate, TRAINED)[:, :FRAME])[0]
        tables[0].add_row(f"{rate // 1000} kHz", *(near(found, true) for found in (ours, original, resampled)))
        ours = pitches(twin, frames(said, samples, rate))[0]
        resampled = pitches(model, frames(resample(said, rate, TRAINED), FRAME, TRAINED))[0]
        found = (near(pitch[voiced], as_trained[voiced]) for pitch in (ours, resampled))
        tables[1].add_row(f"{rate // 1000} kHz", *found)
    Console().print(*tables, sep="\n")


if __name__ == "__main__":
    main()
