"""On a fixture in exactly the published layout."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torchaudio.datasets import SPEECHCOMMANDS

from itnet_audio.tasks.speech_commands import SpeechCommands
from itnet_core import DataError, Split
from itnet_testing import TaskConformance

FOLDER = "SpeechCommands/speech_commands_v0.02"
WORDS = SpeechCommands.classes
SPEAKERS = ("0a7c2a8d", "00f0204f", "b93528e3")  # for training, validation and test


@pytest.fixture
def root(write_recording: Any, tmp_path: Path) -> Path:
    folder = tmp_path / FOLDER
    for word in WORDS:
        for speaker in SPEAKERS:
            for number in range(2 if word == "yes" else 1):
                write_recording(folder / word / f"{speaker}_nohash_{number}.wav", samples=1600, rate=16000)
    for name in ("running_tap", "white_noise"):
        write_recording(folder / "_background_noise_" / f"{name}.wav", samples=8000, rate=16000)
    (folder / "_background_noise_/README.md").write_text("where they come from\n")
    for name, speaker in (("validation_list.txt", SPEAKERS[1]), ("testing_list.txt", SPEAKERS[2])):
        lines = [str(path.relative_to(folder)) for path in sorted(folder.glob(f"*/{speaker}_*.wav"))]
        (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "LICENSE").write_text("CC BY 4.0")
    return tmp_path


def test_its_splits_are_torchaudios(root: Path) -> None:
    task = SpeechCommands(root=str(root))
    pairs: list[tuple[Split, str]] = [("train", "training"), ("validation", "validation"), ("test", "testing")]
    for split, subset in pairs:
        reference = SPEECHCOMMANDS(root, subset=subset)
        expected = {reference.get_metadata(i)[0:3:2] for i in range(len(reference))}  # file and word
        dataset = task.dataset(split)
        actual = {
            (str(path.relative_to(root / "SpeechCommands")), task.classes[label])
            for path, label in zip(dataset.sources, dataset.labels, strict=True)
        }
        assert actual == expected
        assert len(dataset) == 36


def test_hidden_files_are_no_recordings(root: Path) -> None:
    for path in ("yes/._0a7c2a8d_nohash_0.wav", "_background_noise_/._white_noise.wav"):
        (root / FOLDER / path).write_bytes(b"\0\5\x16\7")
    task = SpeechCommands(root=str(root))
    assert len(task.dataset("train")) == 36
    assert len(task.backgrounds()) == 2


def test_a_batch(root: Path) -> None:
    task = SpeechCommands(root=str(root))
    batch = task.collate([task.dataset("test")[i] for i in range(36)])
    assert batch.inputs.waveform.shape == (36, 1600)
    assert sorted(set(batch.targets.tolist())) == list(range(35))
    assert task.encoder_options == {"sample_rate": 16000, "unit_seconds": 0.5}
    assert task.head == {"name": "itnet-core/classify", "classes": 35}


def test_the_folder_itself_may_be_the_root(root: Path) -> None:
    assert len(SpeechCommands(root=str(root / FOLDER)).dataset("train")) == 36


def test_noise_is_of_its_own_backgrounds(root: Path) -> None:
    task = SpeechCommands(root=str(root), noise=1, shift=0, gain=0)
    names = [path.name for path in task.backgrounds()]
    assert names == ["running_tap.wav", "white_noise.wav"]
    dataset: Any = task.dataset("train")
    noisy, clean = dataset[0].inputs, task.loader(training=False)(dataset.sources[0])
    assert noisy.shape == clean.shape
    assert not torch.equal(noisy, clean)


def test_head_and_names_need_no_data() -> None:
    task = SpeechCommands(root="/no/such/folder")
    assert task.head["classes"] == 35
    assert task.describe(torch.eye(35)[:1])[0]["label"] == "backward"
    with pytest.raises(DataError, match=r"speech_commands_v0.02: found no validation_list.txt.*download: true"):
        task.dataset("train")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "testing_list.txt").unlink(), "found no validation_list.txt and testing_list.txt"),
        (lambda f: (f / "bed").rename(f.parent / "bed"), "bed: found no such folder"),
        (lambda f: [p.unlink() for p in (f / "bed").iterdir()], "bed: found no recording"),
        (lambda f: (f / "hello").mkdir(), "found 1 folders of other words, the first hello; .*audio-folder"),
        (
            lambda f: (f / "validation_list.txt").write_text("yes/a_nohash_0.wav\n"),
            "validation_list.txt: found 'yes/a_nohash_0.wav' in line 1; expected <word>/<file> of an existing file",
        ),
        (lambda f: (f / "validation_list.txt").write_text("hello/a.wav\n"), "found 'hello/a.wav' in line 1"),
        (lambda f: (f / "validation_list.txt").write_text("../../x.wav\n"), "found '../../x.wav' in line 1"),
        (lambda f: (f / "validation_list.txt").write_bytes(b"yes/\xff.wav"), "found bytes that are not UTF-8"),
        (lambda f: (f / "validation_list.txt").write_text(""), "validation_list.txt: found no file in it"),
    ],
)
def test_a_layout_that_is_not_the_published_one_is_refused(spoil: Any, message: str, root: Path) -> None:
    spoil(root / FOLDER)
    with pytest.raises(DataError, match=message):
        SpeechCommands(root=str(root)).dataset("train")


def test_an_archive_is_unpacked_only_if_asked_for(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """torchaudio takes the published archive where it lies in root already."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with tarfile.open(elsewhere / "speech_commands_v0.02.tar.gz", "w:gz") as archive:
        archive.add(root / FOLDER, ".")
    with pytest.raises(DataError, match="download: true"):
        SpeechCommands(root=str(elsewhere)).dataset("test")
    assert len(SpeechCommands(root=str(elsewhere), download=True).dataset("test")) == 36


def test_a_download_that_fails_is_said(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "speech_commands_v0.02.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("empty"), io.BytesIO())
    damaged = (tmp_path / "speech_commands_v0.02.tar.gz").read_bytes()[:20]
    (tmp_path / "speech_commands_v0.02.tar.gz").write_bytes(damaged)
    with pytest.raises(DataError, match="found a download that failed"):
        SpeechCommands(root=str(tmp_path), download=True).dataset("test")


class TestConformance(TaskConformance):
    component = "itnet-audio/speech-commands"
    encoder = "itnet-audio/mel"

    @pytest.fixture(autouse=True)
    def _files(self, root: Path, write_recording: Any) -> None:
        self.written: Mapping[str, Any] = {"root": str(root)}
        self.write_recording = write_recording

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [
            torch.rand(4000),
            numpy.zeros((300, 2), numpy.float32),
            {"array": [0.0, 0.5] * 50, "sampling_rate": 8000},
        ]

    def user_file(self, folder: Path) -> Path:
        path: Path = self.write_recording(folder / "yes.wav", samples=1600, rate=16000)
        return path
