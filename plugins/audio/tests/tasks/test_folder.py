from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from itnet_audio.tasks.folder import AudioFolder
from itnet_core import ConfigError, Split
from itnet_tasks import SkippedSampleWarning
from itnet_testing import TaskConformance

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
LANGUAGES = ("en", "fr", "ru")
PROMPTS = [f"{folder}{i}" for folder in ("", "digits/", "more/deep/") for i in range(10)]


@pytest.fixture
def prompts(write_recording: Any, tmp_path: Path) -> Path:
    for language in LANGUAGES:
        for prompt in PROMPTS:
            write_recording(tmp_path / language / f"{prompt}.wav", samples=8)
    return tmp_path


def names(task: AudioFolder, split: Split) -> list[str]:
    root = Path(task.config.root)
    sources = [path.relative_to(root) for path in task.dataset(split).sources]
    return ["/".join(path.with_suffix("").parts[1:]) for path in sources]


def test_files_of_one_name_stay_on_one_side_of_every_split(prompts: Path) -> None:
    task = AudioFolder(root=str(prompts), group_by="name")
    splits = {split: names(task, split) for split in SPLITS}
    assert sorted(splits["train"] + splits["validation"] + splits["test"]) == sorted(PROMPTS * 3)
    assert len(splits["test"]) == 18
    for split, mine in splits.items():
        assert all(mine.count(name) == len(LANGUAGES) for name in mine), split


def test_without_groups_some_are_divided(prompts: Path) -> None:
    mine = names(AudioFolder(root=str(prompts)), "test")
    assert any(mine.count(name) < len(LANGUAGES) for name in mine)


def test_the_test_split_depends_on_neither_seed_nor_share_of_validation(prompts: Path) -> None:
    first = AudioFolder(root=str(prompts), group_by="name")
    second = AudioFolder(root=str(prompts), group_by="name", seed=5, validation=0.4)
    assert names(first, "test") == names(second, "test")
    assert names(first, "validation") != names(second, "validation")
    other = AudioFolder(root=str(prompts), group_by="name", test_fold=1)
    assert not set(names(other, "test")) & set(names(first, "test"))


def test_names_are_equal_whatever_their_formats(write_recording: Any, tmp_path: Path) -> None:
    for i in range(10):
        write_recording(tmp_path / "train/a" / f"{i}.wav", samples=8)
        write_recording(tmp_path / "train/b" / f"{i}.flac", samples=8)
    task = AudioFolder(root=str(tmp_path), group_by="name", test_folds=2)
    stems = [path.stem for path in task.dataset("test").sources]
    assert len(stems) == 10
    assert all(stems.count(stem) == 2 for stem in stems)


def test_its_own_splits(write_recording: Any, tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for i in range(count):
            write_recording(tmp_path / split / "a" / f"{i}.wav")
    task = AudioFolder(root=str(tmp_path), group_by="name")
    assert {split: len(task.dataset(split)) for split in SPLITS} == {
        "train": 3,
        "validation": 2,
        "test": 1,
    }


def test_files_without_a_recordings_suffix_are_left_out_and_counted(prompts: Path) -> None:
    (prompts / "en/notes.txt").write_text("no recording, and does not say that it is one")
    with pytest.warns(SkippedSampleWarning, match=r"1 of 91 files left out because of their suffix: .*notes.txt"):
        AudioFolder(root=str(prompts)).dataset("test")


def test_other_groups_are_refused(prompts: Path) -> None:
    with pytest.raises(ConfigError, match="AudioFolder.group_by: found 'speaker'"):
        AudioFolder(root=str(prompts), group_by="speaker")


class TestConformance(TaskConformance):
    component = "itnet-audio/audio-folder"
    encoder = "itnet-audio/mel"

    @pytest.fixture(autouse=True)
    def _files(self, write_recording: Any, tmp_path: Path) -> None:
        for language in LANGUAGES:
            for number in range(10):
                write_recording(tmp_path / language / f"{number}.wav")
        self.written: Mapping[str, Any] = {"root": str(tmp_path)}
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
        path: Path = self.write_recording(folder / "mine.wav", rate=11025)
        return path


def test_lengths_are_seconds_up_to_the_longest_clip(write_recording: Any, tmp_path: Path) -> None:
    for label in ("a", "b"):
        for i in range(1, 11):
            suffix = ".flac" if i % 2 else ".wav"
            write_recording(tmp_path / label / f"{i}{suffix}", samples=8000 * i, rate=16000)
    (tmp_path / "a/damaged.wav").write_bytes(b"RIFF")
    task = AudioFolder(root=str(tmp_path), sample_rate=8000, max_seconds=3.0)
    lengths = task.lengths("train")
    assert lengths is not None
    for path, length in zip(task.dataset("train").sources, lengths, strict=True):
        assert length == (0.0 if path.stem == "damaged" else min(int(path.stem) / 2, 3.0))
