"""The same recordings in a folder, in shards and in tables are the same samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import webdataset as wds
from datasets import Audio as AudioColumn
from datasets import ClassLabel, Dataset, Features, Value

from itnet_audio.tasks.folder import AudioFolder
from itnet_audio.tasks.shards import AudioShards
from itnet_audio.tasks.table import AudioTable
from itnet_core import DataError, Split
from itnet_tasks import SkippedSampleWarning
from itnet_testing import TaskConformance

CLASSES = ("no", "yes")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
OPTIONS: dict[str, Any] = {"sample_rate": 8000, "max_seconds": 0.1, "noise": 0.5, "speeds": (0.9, 1.1)}
Recordings = list[tuple[Path, int]]


@pytest.fixture(autouse=True)
def _tables_of_the_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave the user's cache of Arrow files alone."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "huggingface")


@pytest.fixture
def recordings(write_recording: Callable[..., Path], tmp_path: Path) -> Recordings:
    """Files with class numbers, sorted by class, as `audio-folder` reads them."""
    found = []
    for number in range(24):
        name = tmp_path / "folders" / CLASSES[number // 12] / f"{number:03}.wav"
        path = write_recording(name, samples=500 + 100 * number, rate=(8000, 11025)[number % 3 == 0])
        if number % 2:
            path = path.with_suffix(".flac")
            soundfile.write(path, *soundfile.read(name))
            name.unlink()
        found.append((path, number // 12))
    return found


def in_shards(folder: Path, recordings: Recordings) -> AudioShards:
    with wds.ShardWriter(str(folder / "words-%03d.tar"), maxcount=7, verbose=0) as writer:
        for number, (file, kind) in enumerate(recordings):
            writer.write({"__key__": f"{number:04}", file.suffix[1:]: file.read_bytes(), "cls": CLASSES[kind]})
    return AudioShards(root=str(folder), train="words-*.tar", **OPTIONS)


def in_parquet(folder: Path, recordings: Recordings) -> AudioTable:
    label = ClassLabel(names=list(CLASSES))
    stored = Features({"audio": {"bytes": Value("binary"), "path": Value("string")}, "label": label})
    for number in range(2):
        part = recordings[15 * number : 15 * number + 15]
        files = [{"bytes": file.read_bytes(), "path": file.name} for file, _ in part]
        table = Dataset.from_dict({"audio": files, "label": [kind for _, kind in part]}, features=stored)
        table.cast_column("audio", AudioColumn()).to_parquet(folder / f"a-{number}.parquet")
    return AudioTable(root=str(folder), train="a-*.parquet", **OPTIONS)


def plain(folder: Path, recordings: Recordings) -> AudioTable:
    rows = {"sound": [file.read_bytes() for file, _ in recordings], "word": [CLASSES[kind] for _, kind in recordings]}
    Dataset.from_dict(rows).to_parquet(folder / "b.parquet")
    return AudioTable(root=str(folder), train="b.parquet", audio="sound", label="word", **OPTIONS)


def read(task: AudioShards | AudioTable, split: Split) -> list[Any]:
    dataset = task.dataset(split)
    return [dataset[number] for number in range(len(dataset))]


@pytest.mark.parametrize("way", [in_shards, in_parquet, plain])
def test_samples_are_those_of_a_folder(
    way: Callable[[Path, Recordings], AudioShards | AudioTable], recordings: Recordings, tmp_path: Path
) -> None:
    expected, task = AudioFolder(root=str(tmp_path / "folders"), **OPTIONS), way(tmp_path, recordings)
    assert task.classes == task.config.completed().classes == CLASSES
    for split in SPLITS:
        mine, others = task.dataset(split), expected.dataset(split)
        assert mine.labels == others.labels
        for index in range(len(others)):
            torch.manual_seed(index)
            clip = mine[index]
            torch.manual_seed(index)
            torch.testing.assert_close(clip, others[index], rtol=0, atol=0)
        assert task.lengths(split) == expected.lengths(split)
        assert sum(task.chunks(split) or []) == len(others)


def test_a_damaged_recording_is_named_and_skipped(recordings: Recordings, tmp_path: Path) -> None:
    recordings[3][0].write_bytes(recordings[3][0].read_bytes()[:99])
    recordings[4][0].write_bytes(b"")
    for way, places in (
        (in_shards, ["words-000.tar, 0003.flac", "words-000.tar, sample 0004: found no audio"]),
        (in_parquet, ["a-0.parquet, row 3", "a-0.parquet, row 4: found an empty file"]),
    ):
        task = way(tmp_path, recordings)
        options = task.config.model_dump() | {"validation": 0.5, "on_bad_sample": "skip"}
        skipping = type(task)(**options)
        with pytest.warns(SkippedSampleWarning) as caught:
            kept = [sample for split in SPLITS for sample in read(skipping, split) if sample is not None]
        assert len(kept) == 22
        for place in places:
            assert any(place in str(warning.message) for warning in caught)
        assert 0.0 in [length for split in SPLITS for length in skipping.lengths(split) or []]


def test_no_path_in_a_table_is_opened(recordings: Recordings, tmp_path: Path) -> None:
    rows = [{"path": str(file), "bytes": None} for file, _ in recordings]
    Dataset.from_dict({"audio": rows, "label": [0, 1] * 12}).to_parquet(tmp_path / "a.parquet")
    task = AudioTable(root=str(tmp_path), train="a.parquet")
    with pytest.raises(DataError, match="found a path in column 'audio'; expected the bytes of a file"):
        task.dataset("test")[0]
    assert set(task.lengths("test") or []) == {0.0}


class LargeConformance(TaskConformance):
    encoder = "itnet-audio/mel"
    way: Callable[[Path, Recordings], AudioShards | AudioTable]

    @pytest.fixture(autouse=True)
    def _files(self, recordings: Recordings, write_recording: Callable[..., Path], tmp_path: Path) -> None:
        config = type(self).way(tmp_path, recordings).config
        self.written: Mapping[str, Any] = {"root": config.root, "train": config.train, "max_seconds": 1}
        self.write_recording = write_recording

    def prepare(self, folder: Path) -> Mapping[str, Any]:
        return self.written

    def user_values(self) -> Sequence[Any]:
        """Return values in memory."""
        return [torch.rand(4000)]

    def user_file(self, folder: Path) -> Path:
        return self.write_recording(folder / "mine.wav")


class TestShardsConformance(LargeConformance):
    component = "itnet-audio/audio-shards"
    way = staticmethod(in_shards)


class TestTableConformance(LargeConformance):
    component = "itnet-audio/audio-table"
    way = staticmethod(in_parquet)
