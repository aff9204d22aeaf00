from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itnet_audio.clips import Audio
from itnet_audio.encoders.waveform import WaveformEncoder
from itnet_core import ConfigError, ShapeError

SMALL: dict[str, Any] = {"sample_rate": 8000, "strides": (5, 4, 2)}


@settings(deadline=None, max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=3),
    more=st.integers(0, 300),
    strides=st.sampled_from([(4,), (5, 4, 2), (3, 1, 2)]),
    normalization=st.booleans(),
)
def test_a_clips_field_is_the_same_alone_and_in_a_batch(
    assert_padding_changes_nothing: Callable[..., None],
    lengths: list[int],
    more: int,
    strides: tuple[int, ...],
    normalization: bool,
) -> None:
    torch.manual_seed(0)
    encoder = WaveformEncoder(8, strides=strides, normalization=normalization).double()
    assert_padding_changes_nothing(encoder, lengths, more)


def test_a_point_lies_at_the_centre_of_what_it_sees() -> None:
    """The samples that change a point reach equally far to both sides of it."""
    encoder = WaveformEncoder(8, **SMALL, normalization=False, unit_seconds=1 / 8000)
    waveform = torch.randn(1, 600, requires_grad=True)
    field = encoder(Audio(waveform, torch.tensor([600])))
    [gradient] = torch.autograd.grad(field.values[0, 7].square().sum(), waveform)
    seen = gradient[0].nonzero().squeeze(1)
    torch.testing.assert_close(field.positions[0, 7, 0], (seen[0] + seen[-1] + 1) / 2)
    assert seen[0] <= 7 * 40
    assert seen[-1] >= 8 * 40 - 1


def test_moving_a_clip_by_a_cell_moves_its_field_by_a_point() -> None:
    encoder, clip = WaveformEncoder(8, **SMALL, normalization=False), torch.zeros(800)
    clip[300:400] = torch.randn(100)
    before, after = encoder(Audio.of([clip])).values, encoder(Audio.of([clip.roll(40)])).values
    assert before[0, 5:14].std() > 0.01
    torch.testing.assert_close(after[0, 3:-2], before[0, 2:-3])  # a clip's ends stay where they are


def test_half_precision_is_close_and_keeps_measure_and_positions() -> None:
    encoder, audio = WaveformEncoder(16), Audio.of([torch.randn(4000), torch.randn(1700)])
    exact = encoder(audio)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = encoder(audio)
    for field in (mixed, encoder.to(torch.bfloat16)(audio)):
        assert field.values.dtype == torch.bfloat16
        torch.testing.assert_close(field.weights, exact.weights)
        torch.testing.assert_close(field.positions, exact.positions)
        assert (field.values - exact.values).norm() < 0.05 * exact.values.norm()


def test_loudness_counts_only_where_it_is_kept() -> None:
    clip = torch.randn(800)
    for normalization in (True, False):
        encoder = WaveformEncoder(8, **SMALL, normalization=normalization)
        loud, quiet = encoder(Audio.of([clip])).values, encoder(Audio.of([clip / 9 + 0.2])).values
        assert torch.allclose(loud, quiet, atol=1e-4) == normalization


@pytest.mark.parametrize("samples", [1, 39, 8000])
def test_silence_and_the_shortest_clips_are_accepted(samples: int) -> None:
    encoder = WaveformEncoder(8, **SMALL)
    field = encoder(Audio.of([torch.zeros(samples)]))
    assert field.values.shape == (1, -(-samples // 40), 8)
    gradients = torch.autograd.grad(field.values.square().sum(), list(encoder.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_what_is_no_batch_of_clips_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"WaveformEncoder\(inputs\): found Tensor"):
        WaveformEncoder(8)(torch.randn(2, 100))
    with pytest.raises(ConfigError, match="strides"):
        WaveformEncoder(8, strides=())
