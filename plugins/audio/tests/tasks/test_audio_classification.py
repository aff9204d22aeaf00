from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from itnet_audio.data.recordings import read_recording
from itnet_audio.encoders.mel import MelEncoder
from itnet_audio.tasks.audio_classification import ClipLoader
from itnet_audio.tasks.folder import AudioFolder
from itnet_core import ConfigError, DataError
from itnet_tasks import SkippedSampleWarning


@pytest.fixture
def root(write_recording: Any, tmp_path: Path) -> Path:
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            for i in range(3):
                write_recording(tmp_path / split / name / f"{i}.wav", samples=500 + 100 * i)
    return tmp_path


def folder_task(root: Path, **options: Any) -> Any:
    return AudioFolder(None, root=str(root), **{"sample_rate": 8000, **options})


def test_a_batch_has_clips_of_their_own_lengths(root: Path) -> None:
    task = folder_task(root)
    dataset = task.dataset("test")
    batch = task.collate([dataset[i] for i in range(6)])
    assert batch.inputs.waveform.shape == (6, 700)
    assert batch.inputs.lengths.tolist() == [500, 600, 700] * 2
    assert batch.targets.tolist() == [0, 0, 0, 1, 1, 1]
    MelEncoder(8, **task.encoder_options)(batch.inputs)


def test_the_encoder_learns_rate_and_extent_from_the_task(root: Path) -> None:
    """The longest clip spans 2 on t."""
    task = folder_task(root, max_seconds=0.8)
    assert task.encoder_options == {"sample_rate": 8000, "unit_seconds": 0.4}
    encoder = MelEncoder(8, patch_frames=1, **task.encoder_options)
    batch = task.collate([task.read(root / "test/cat/0.wav")])
    span = encoder(batch.inputs).positions[..., 0]
    assert span.max() == pytest.approx(6.5 * 0.01 / 0.4)  # the middle of the seventh frame of 10 ms


def test_longer_recordings_are_cropped(root: Path) -> None:
    path = root / "train/cat/2.wav"
    whole = read_recording(path, 8000)
    middle = ClipLoader(8000, 300)(path)
    torch.testing.assert_close(middle, whole[200:500])
    task = folder_task(root, max_seconds=0.03, shift=0, gain=0)
    parts = [task.dataset("train")[2].inputs for _ in range(5)]
    assert all(part.shape == (240,) for part in parts)
    assert len({tuple(part.tolist()) for part in parts}) > 1
    assert torch.equal(task.dataset("validation")[2].inputs, task.dataset("validation")[2].inputs)


def test_only_training_is_augmented(root: Path) -> None:
    def changes(split: str, **options: Any) -> bool:
        dataset = folder_task(root, **options).dataset(split)
        return not torch.equal(dataset[0].inputs, dataset[0].inputs)

    assert changes("train")
    assert changes("train", shift=0, gain=0, noise=1)
    assert not changes("train", augment=False)
    assert not changes("validation")
    assert not changes("test")


def test_speeds_are_configured(root: Path) -> None:
    dataset = folder_task(root, speeds=[0.8, 1.25]).dataset("train")
    assert {len(dataset[0].inputs) for _ in range(20)} == {400, 625}


def test_loss_metrics_and_records_know_the_right_answer(root: Path) -> None:
    task, targets = folder_task(root), torch.tensor([0, 1, 1])
    sure = torch.nn.functional.one_hot(targets, 2).float() * 50
    assert task.loss(sure, targets) < task.loss(-sure, targets)
    accuracy = task.metrics()[task.monitor]
    accuracy.update(sure, targets)
    assert accuracy.compute() == 1
    records = task.describe(sure)
    assert [record["label"] for record in records] == ["cat", "dog", "dog"]
    json.dumps(records)


def test_bad_recordings_are_refused_or_skipped_by_name(root: Path) -> None:
    path = root / "train/cat/0.wav"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"train/cat/0.wav: found a damaged.*on_bad_sample: skip"):
        folder_task(root).dataset("train")[0]
    task = folder_task(root, on_bad_sample="skip")
    dataset = task.dataset("train")
    with pytest.warns(SkippedSampleWarning, match="1 of 6 samples skipped so far. .*train/cat/0.wav"):
        batch = task.collate([dataset[i] for i in range(len(dataset))])
    assert batch.targets.tolist() == [0, 0, 1, 1, 1]
    assert len(batch.inputs.lengths) == 5


def test_a_users_file_is_read_as_evaluation_reads(root: Path) -> None:
    task = folder_task(root, max_seconds=0.05)
    sample = task.read(root / "test/dog/1.wav")
    assert sample.label is None
    assert torch.equal(sample.inputs, task.dataset("test")[4].inputs)
    with pytest.raises(DataError, match="nowhere.wav: found no such file"):
        task.read(root / "nowhere.wav")


@pytest.mark.parametrize("wrong", [{"noise": 2}, {"speeds": []}, {"speeds": [0]}, {"max_seconds": 0}, {"gain": -1}])
def test_wrong_options_are_refused(wrong: dict[str, Any], root: Path) -> None:
    with pytest.raises(ConfigError, match=f"AudioFolder.{next(iter(wrong))}"):
        folder_task(root, **wrong)
