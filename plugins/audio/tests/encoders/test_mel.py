from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.transforms import MelSpectrogram

from itnet_audio.clips import Audio
from itnet_audio.encoders.mel import MelEncoder
from itnet_core import Block, ConfigError, IntegralOperator, MLPKernel, Trunk, mean
from itnet_registry.build.memory import MemoryLimit

SMALL: dict[str, Any] = {"sample_rate": 8000, "n_mels": 20, "patch_mels": 5, "patch_frames": 4}


def tone(pitch: float, samples: int = 8000, rate: int = 8000) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * pitch * torch.arange(samples) / rate)


def test_frames_are_torchaudios() -> None:
    """Each begins half of what a window is longer than a hop before its hop: the third, at sample 2 · 80 − 88."""
    encoder, waveform = MelEncoder(8, **SMALL, normalization="fixed"), torch.randn(1, 4000)
    reference = MelSpectrogram(8000, 256, 200, 80, 20.0, 4000.0, n_mels=20, normalized="window", center=False)
    expected = ((reference(waveform[:, 72:])[0] + 1e-8).log().T + 8) / 4
    levels = encoder.log_mel(waveform, torch.tensor([4000]))[0]
    assert levels.shape == (50, 20)
    torch.testing.assert_close(levels[2 : 2 + len(expected)], expected, rtol=1e-4, atol=1e-4)


def test_a_frame_lies_around_its_hop() -> None:
    """A click in the middle of a hop is loudest in its frame, and as loud in the frames on either side."""
    encoder = MelEncoder(8, **SMALL, normalization="fixed")
    click = torch.zeros(1, 1600)
    click[0, 10 * 80 + 40] = 1.0
    loudness = encoder.log_mel(click, torch.tensor([1600]))[0].mean(-1)
    assert loudness.argmax() == 10
    torch.testing.assert_close(loudness[9], loudness[11], rtol=1e-3, atol=1e-3)
    assert loudness[9] < loudness[10]


def test_a_patch_is_a_linear_map_of_its_levels_at_its_middle() -> None:
    encoder = MelEncoder(8, **SMALL, unit_seconds=0.5)
    waveform, lengths = torch.randn(1, 1600), torch.tensor([1600])
    field = encoder(Audio(waveform, lengths))
    assert field.grid == (5, 4)
    patch = encoder.log_mel(waveform, lengths)[0, 8:12, 5:10]
    weight, bias = encoder.projection.parameters()
    expected = (weight[:, 0] * patch).sum((1, 2)) + bias
    torch.testing.assert_close(field.values[0, 2 * 4 + 1], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(field.positions[0, 2 * 4 + 1], torch.tensor([0.1 / 0.5, -0.25, 0, 0]))


@pytest.mark.parametrize("pitch", [100.0, 500.0, 1500.0, 3500.0])
def test_frequency_lies_on_x_by_the_mel_scale(pitch: float) -> None:
    encoder = MelEncoder(8, sample_rate=8000, n_mels=40, patch_mels=1, f_min=0.0, window_ms=50, normalization="fixed")
    levels = encoder.log_mel(tone(pitch).unsqueeze(0), torch.tensor([8000]))[0].mean(0)
    positions = encoder(Audio.of([tone(pitch)])).positions[0, :40, 1]

    def mel(frequency: float) -> float:
        return float(2595 * torch.log10(torch.tensor(1 + frequency / 700)))

    assert abs(positions[levels.argmax()] - (2 * mel(pitch) / mel(4000) - 1)) < 0.06


@settings(deadline=None, max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=3),
    more=st.integers(0, 1500),
    normalization=st.sampled_from(["clip", "band", "fixed"]),
    window_ms=st.sampled_from([10.0, 25.0, 31.0]),
)
def test_a_clips_field_is_the_same_alone_and_in_a_batch(
    assert_padding_changes_nothing: Callable[..., None],
    lengths: list[int],
    more: int,
    normalization: str,
    window_ms: float,
) -> None:
    torch.manual_seed(0)
    encoder = MelEncoder(4, **SMALL, normalization=normalization, window_ms=window_ms).double()
    assert_padding_changes_nothing(encoder, lengths, more)


def test_a_trunks_output_does_not_depend_on_padding() -> None:
    encoder = MelEncoder(8, **SMALL).double()
    trunk = Trunk([Block(IntegralOperator(8, MLPKernel(8, heads=2, hidden=8)))]).double()
    short, long = torch.randn(1300, dtype=torch.float64), torch.randn(4000, dtype=torch.float64)
    batch = mean(trunk(encoder(Audio.of([short, long]))))
    for i, clip in enumerate((short, long)):
        torch.testing.assert_close(batch[i], mean(trunk(encoder(Audio.of([clip]))))[0], rtol=1e-9, atol=1e-9)


def test_positions_in_time_do_not_depend_on_the_sample_rate_nor_on_the_length() -> None:
    fields = [
        MelEncoder(8, **{**SMALL, "sample_rate": rate})(Audio.of([torch.randn(rate * seconds)]))
        for rate, seconds in ((8000, 1), (16000, 1), (8000, 2))
    ]
    torch.testing.assert_close(fields[0].positions, fields[1].positions)
    torch.testing.assert_close(fields[0].positions, fields[2].positions[:, : fields[0].values.shape[1]])


def test_half_precision_is_close_and_keeps_measure_and_positions() -> None:
    encoder, audio = MelEncoder(16, **SMALL), Audio.of([torch.randn(4000), torch.randn(1700)])
    exact = encoder(audio)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = encoder(audio)
    for field in (mixed, encoder.to(torch.bfloat16)(audio)):
        assert field.values.dtype == torch.bfloat16
        torch.testing.assert_close(field.weights, exact.weights)
        torch.testing.assert_close(field.positions, exact.positions)
        assert (field.values - exact.values).norm() < 0.05 * exact.values.norm()


def test_loudness_counts_only_where_it_is_kept() -> None:
    clip = torch.randn(4000) * 0.1

    def change(normalization: str) -> float:
        encoder = MelEncoder(8, **SMALL, normalization=normalization)
        loud, quiet = encoder(Audio.of([clip])).values, encoder(Audio.of([clip / 4])).values
        return ((loud - quiet).norm() / loud.norm()).item()

    assert change("clip") < 1e-2
    assert change("band") < 1e-2
    assert change("fixed") > 0.1


@pytest.mark.parametrize("samples", [1, 3, 79, 8000])
@pytest.mark.parametrize("normalization", ["clip", "band", "fixed"])
def test_silence_and_the_shortest_clips_are_accepted(samples: int, normalization: str) -> None:
    encoder = MelEncoder(8, **SMALL, normalization=normalization)
    field = encoder(Audio.of([torch.zeros(samples)]))
    assert field.values.isfinite().all()
    gradients = torch.autograd.grad(field.values.square().sum(), list(encoder.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_checkpoint_holds_what_is_learned_alone() -> None:
    assert set(MelEncoder(8, **SMALL).state_dict()) == {"projection.weight", "projection.bias"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_mels": 7}, "expected patch_mels = 7 to divide n_mels = 20"),
        ({"hop_ms": 30}, "hop_ms of .* at most window_ms = 25.0"),
        ({"hop_ms": 0.01}, "hop_ms of one sample or more"),
        ({"f_max": 5000}, "half the sample rate, 4000.0"),
        ({"f_min": 4000}, "expected f_min = 4000.0 < f_max = 4000.0"),
        ({"n_mels": 200, "patch_mels": 10}, r"n_mels: found 200 bands, \d+ or more of which lie between.*fewer bands"),
        ({"mels": 3}, "found a field that does not exist"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MelEncoder(8, **{**SMALL, **options})


@pytest.mark.parametrize("options", [{"sample_rate": 2**31}, {"window_ms": 2**22}, {"n_mels": 2**22}], ids=str)
def test_bands_that_memory_cannot_hold_are_refused_before_they_are_there(options: dict[str, Any]) -> None:
    with MemoryLimit(2**30, "a test"), pytest.raises(ConfigError, match="memory: found sizes that take"):
        MelEncoder(8, **options)


def test_many_more_bands_than_frequencies_are_refused_before_they_are_computed() -> None:
    with pytest.raises(ConfigError, match="found 4194304 bands, 4193792 or more of which lie between"):
        MelEncoder(8, n_mels=2**22)


@pytest.mark.parametrize("options", [{"sample_rate": 10**400}, {"window_ms": 1e308}, {"hop_ms": 1e308}], ids=str)
def test_a_number_that_cannot_be_counted_with_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="MelEncoder"):
        MelEncoder(8, **options)


def test_images_have_time_to_the_right_and_frequency_upwards() -> None:
    encoder = MelEncoder(8, **SMALL, normalization="fixed")
    clip = torch.cat([tone(200.0, 4000), tone(3000.0, 4000)])
    [image] = encoder.images(Audio.of([clip]))
    assert image.shape == (1, 20, 100)
    rows = image[0].argmax(0)
    assert int(rows[10]) > 15  # low, below
    assert int(rows[90]) < 5
