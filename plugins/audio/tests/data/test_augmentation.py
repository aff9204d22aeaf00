from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_audio.data.augmentation import ClipAugmentation, crop, shift_clip

NOTHING: dict[str, Any] = {
    "sample_rate": 8000,
    "speeds": (1.0,),
    "shift": 0.0,
    "gain": 0.0,
    "noise": 0.0,
    "signal_to_noise": (20.0, 20.0),
}


def drawn(clip: Tensor, count: int = 50, **options: Any) -> list[Tensor]:
    augmentation = ClipAugmentation(**{**NOTHING, **options})
    return [augmentation(clip) for _ in range(count)]


def test_without_any_change_a_clip_stays_as_it_is() -> None:
    clip = torch.randn(500)
    augmentation = ClipAugmentation(**NOTHING)
    torch.testing.assert_close(augmentation(augmentation.at_a_speed(clip)), clip)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [(0, [1, 2, 3]), (1, [0, 1, 2]), (-2, [3, 0, 0]), (9, [0, 0, 0]), (-9, [0, 0, 0])],
)
def test_moving_brings_in_silence(samples: int, expected: list[int]) -> None:
    assert shift_clip(torch.tensor([1, 2, 3]), samples).tolist() == expected


def test_a_crop_is_the_middle_or_anywhere() -> None:
    clip = torch.arange(10)
    assert crop(clip, 4, at_random=False).tolist() == [3, 4, 5, 6]
    starts = {crop(clip, 8, at_random=True)[0].item() for _ in range(100)}
    assert starts == {0, 1, 2}
    for at_random in (True, False):
        assert torch.equal(crop(clip, 12, at_random=at_random), clip)


def test_a_shift_stays_within_its_seconds() -> None:
    clip = torch.zeros(800)
    clip[400] = 1.0
    at = torch.stack([item.argmax() for item in drawn(clip, shift=0.01)])
    assert 320 <= at.min() < 380
    assert 420 < at.max() <= 480


def test_a_gain_stays_within_its_decibels() -> None:
    gains = torch.stack([item.mean() for item in drawn(torch.ones(10), gain=6.0)])
    assert 10 ** (-6 / 20) <= gains.min() < 0.7
    assert 1.5 < gains.max() <= 10 ** (6 / 20)


def test_noise_has_its_level_and_its_probability() -> None:
    clip = torch.randn(8000)
    noises = [item - clip for item in drawn(clip, 40, noise=0.5)]
    added = [noise for noise in noises if noise.any()]
    assert 10 < len(added) < 30
    for noise in added:
        level = 10 * torch.log10(clip.square().sum() / noise.square().sum())
        assert level == pytest.approx(20, abs=0.1)


def test_noise_is_taken_from_backgrounds(write_recording: Any, tmp_path: Path) -> None:
    """Also from one that is shorter than the clip, and from silence, which adds nothing."""
    background = write_recording(tmp_path / "noise.wav", samples=30)
    [noisy] = drawn(torch.ones(100), 1, noise=1.0, backgrounds=[background])
    noise = noisy - 1
    torch.testing.assert_close(noise[:70], noise[30:])
    assert noise.any()
    silent = write_recording(tmp_path / "silent.wav", samples=1)
    silent.write_bytes(silent.read_bytes()[:-2] + bytes(2))
    [same] = drawn(torch.ones(100), 1, noise=1.0, backgrounds=[silent])
    assert torch.equal(same, torch.ones(100))


def test_noise_leaves_silence_silent() -> None:
    [clip] = drawn(torch.zeros(100), 1, noise=1.0)
    assert torch.equal(clip, torch.zeros(100))


def test_a_speed_changes_length_and_pitch() -> None:
    tone = torch.sin(2 * torch.pi * 400 * torch.arange(8000) / 8000)
    augmentation = ClipAugmentation(**{**NOTHING, "speeds": (0.8, 1.25)})
    pitches = {}
    for _ in range(20):
        clip = augmentation.at_a_speed(tone)
        pitches[len(clip)] = torch.fft.rfft(clip).abs().argmax().item() * 8000 / len(clip)
    assert pitches == {10000: pytest.approx(320, abs=1), 6400: pytest.approx(500, abs=2)}


def test_a_seed_gives_the_same_changes() -> None:
    clip, options = torch.randn(500), {"shift": 0.01, "gain": 6.0, "noise": 0.5}
    torch.manual_seed(3)
    first = drawn(clip, 5, **options)
    torch.manual_seed(3)
    assert all(map(torch.equal, first, drawn(clip, 5, **options)))
    assert not torch.equal(first[0], first[1])
