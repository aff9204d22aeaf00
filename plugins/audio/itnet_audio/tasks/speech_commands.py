"""Speech Commands."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from pydantic import PositiveFloat

from itnet_audio.tasks.audio_classification import AudioClassification, Probability
from itnet_core import DataError
from itnet_tasks import Labelled

FOLDER = "SpeechCommands/speech_commands_v0.02"
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
BACKGROUNDS = "_background_noise_"


class SpeechCommands(AudioClassification):
    """105,829 recordings of 35 spoken words, of a second or less, at 16 kHz (Warden, arXiv 1804.03209), version 0.02.

    Reads the layout of torchaudio and of the published archive: one folder per word, and lists of the files for
    validation and for test; the other files are for training. No speaker is in two splits. The folder is
    `root/SpeechCommands/speech_commands_v0.02`, or `root` itself.

    Example:
        >>> task = SpeechCommands(root="data", sample_rate=8000)
        >>> len(task.classes), task.encoder_options
        (35, {'sample_rate': 8000, 'unit_seconds': 0.5})
    """

    class Config(AudioClassification.Config):
        download: bool = False
        """Allow torchaudio to download the archive into `root` if it is missing."""

        max_seconds: PositiveFloat = 1.0
        """Length of the longest clip; no recording is longer than a second."""

        noise: Probability = 0.5
        """Probability of adding one of the data set's background noises to a training clip."""

    # fmt: off
    classes = (
        "backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go", "happy",
        "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven", "sheila", "six",
        "stop", "three", "tree", "two", "up", "visual", "wow", "yes", "zero",
    )
    # fmt: on

    def training(self) -> Labelled:
        """Return the recordings in neither list."""
        files = [file for word in self.classes for file in self._of(word)]
        listed = {file for split in LISTS for file in self._listed(split)}
        return self._labelled([file for file in files if file not in listed])

    def validation(self) -> Labelled:
        """Return the recordings of the published validation list."""
        return self._labelled(self._listed("validation"))

    def test(self) -> Labelled:
        """Return the recordings of the published test list."""
        return self._labelled(self._listed("test"))

    def backgrounds(self) -> list[Path]:
        """Return the data set's recordings of noise."""
        return sorted((self._folder / BACKGROUNDS).glob("[!.]*.wav"))

    def _labelled(self, files: list[Path]) -> Labelled:
        return Labelled(files, torch.tensor([self.classes.index(file.parent.name) for file in files]))

    def _of(self, word: str) -> list[Path]:
        files = sorted((self._folder / word).glob("[!.]*_nohash_*.wav"))
        if not files:
            found = "no recording" if (self._folder / word).is_dir() else "no such folder"
            raise DataError(
                str(self._folder / word), found=found, expected="<speaker>_nohash_<number>.wav", hint="Fetch it again."
            )
        return files

    def _listed(self, split: str) -> list[Path]:
        path = self._folder / LISTS[split]
        try:
            lines = path.read_text(encoding="utf-8").split()
        except UnicodeDecodeError:
            raise DataError(str(path), found="bytes that are not UTF-8", expected="a list of files") from None
        if not lines:
            raise DataError(str(path), found="no file in it", expected="a list of files", hint="Fetch it again.")
        for number, line in enumerate(lines, 1):
            word, _, name = line.partition("/")
            if word not in self.classes or "/" in name or not (self._folder / line).is_file():
                found = f"{line!r} in line {number}"
                hint = "Fetch the data set again."
                raise DataError(str(path), found=found, expected="<word>/<file> of an existing file", hint=hint)
        return [self._folder / line for line in lines]

    @cached_property
    def _folder(self) -> Path:
        root = Path(self.config.root).expanduser()
        if self.config.download and not any(_complete(folder) for folder in (root, root / FOLDER)):
            _download(root)
        for folder in (root / FOLDER, root):
            if _complete(folder):
                unknown = _folders(folder) - {*self.classes, BACKGROUNDS}
                if unknown:
                    raise DataError(
                        str(folder),
                        found=f"{len(unknown)} folders of other words, the first {min(unknown)}",
                        expected=f"the {len(self.classes)} words of version 0.02",
                        hint="For other words, use the task audio-folder.",
                    )
                return folder
        raise DataError(
            str(root / FOLDER),
            found=f"no {' and '.join(LISTS.values())}",
            expected="the data set's folder with both lists",
            hint=f"Set root to the folder that holds {FOLDER}, or download: true.",
        )


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in LISTS.values())


def _folders(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}


def _download(root: Path) -> None:
    from torchaudio.datasets import SPEECHCOMMANDS

    root.mkdir(parents=True, exist_ok=True)
    try:
        SPEECHCOMMANDS(root, download=True)
    except Exception as error:
        raise DataError(str(root), found=f"a download that failed ({error})", expected=FOLDER) from error
