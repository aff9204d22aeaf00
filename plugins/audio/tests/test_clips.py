from __future__ import annotations

import pytest
import torch
from torch import Tensor

from itnet_audio.clips import Audio, check_audio, clip_field, standardize, to_multiple
from itnet_core import ShapeError


def test_clips_of_any_lengths_make_a_batch() -> None:
    clips = [torch.randn(5), torch.randn(3)]
    audio = Audio.of(clips)
    assert audio.waveform.shape == (2, 5)
    assert audio.lengths.tolist() == [5, 3]
    for row, clip in zip(audio.waveform, clips, strict=True):
        torch.testing.assert_close(row[: len(clip)], clip)


def test_what_lies_behind_a_clips_end_is_not_looked_at() -> None:
    waveform = torch.randn(2, 6)
    waveform[1, 4:] = float("nan")
    checked = check_audio(Audio(waveform, torch.tensor([6, 4])), "here")
    assert checked.waveform[1].tolist() == [*waveform[1, :4].tolist(), 0, 0]
    torch.testing.assert_close(checked.waveform[0], waveform[0])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.randn(2, 9), r"here: found Tensor; expected Audio.*Audio.of"),
        ((torch.randn(2, 9),), "here: found tuple"),
        (Audio(torch.randn(2, 1, 9), torch.tensor([9, 9])), r"found torch.float32 of shape \(2, 1, 9\) and"),
        (Audio(torch.ones(2, 9, dtype=torch.int16), torch.tensor([9, 9])), "found torch.int16"),
        (Audio(torch.randn(2, 0), torch.tensor([0, 0])), r"shape \(2, 0\)"),
        (Audio(torch.randn(2, 9), torch.tensor([9])), r"torch.int64 of shape \(1,\)"),
        (Audio(torch.randn(2, 9), torch.tensor([9.0, 9.0])), "and torch.float32"),
        (Audio(torch.randn(2, 9), torch.tensor([9, 10])), r"lengths \[9, 10\]; expected 1 to T = 9"),
        (Audio(torch.randn(2, 9), torch.tensor([9, 0])), r"lengths \[9, 0\]"),
        (Audio(torch.full((1, 9), float("inf")), torch.tensor([9])), "samples that are NaN or infinite"),
    ],
)
def test_what_is_no_batch_of_clips_is_refused(inputs: Audio, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        check_audio(inputs, "here")


@pytest.mark.parametrize("samples", [1, 7, 8, 9])
def test_padding_to_a_multiple_adds_as_little_as_can_be(samples: int) -> None:
    waveform = torch.randn(1, samples)
    padded = to_multiple(waveform, 8)
    assert padded.shape[1] % 8 == 0
    assert 0 <= padded.shape[1] - samples < 8
    assert torch.equal(padded[:, :samples], waveform)
    assert not padded[:, samples:].any()


def test_standardized_values_have_mean_0_and_variance_1_where_they_are_valid() -> None:
    values: Tensor = torch.randn(3, 50, 4, dtype=torch.float64) * 7 + 3
    valid = (torch.arange(50) < torch.tensor([50, 20, 9]).unsqueeze(1)).unsqueeze(-1)
    for dims in ((1,), (1, 2)):
        result = standardize(values, valid, dims, least=1e-3)
        for i, length in enumerate((50, 20, 9)):
            kept = result[i, :length]
            over = tuple(dim - 1 for dim in dims)
            torch.testing.assert_close(kept.mean(over), torch.zeros_like(kept.mean(over)))
            torch.testing.assert_close((kept**2).mean(over), torch.ones_like(kept.mean(over)))
            assert not result[i, length:].any()


def test_what_is_even_is_not_blown_up() -> None:
    result = standardize(torch.full((1, 9), -18.4), torch.ones(1, 9, dtype=torch.bool), (1,), least=0.1)
    assert result.abs().max() < 1e-3
    assert result.isfinite().all()


def test_cells_weigh_what_they_cover_of_their_clip() -> None:
    field = clip_field(torch.randn(3, 4, 8), torch.tensor([40, 25, 3]), cell=10, unit=20)
    weights = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0.5, 0], [0.3, 0, 0, 0]])
    torch.testing.assert_close(field.weights, weights / weights.sum(1, keepdim=True))
    torch.testing.assert_close(field.positions[1], torch.tensor([[x, 0, 0, 0] for x in (0.25, 0.75, 1.25, 1.75)]))


def test_bands_lie_on_x() -> None:
    values = torch.randn(1, 3, 2, 8)
    field = clip_field(values, torch.tensor([30]), cell=10, unit=10)
    assert field.grid == (3, 2)
    torch.testing.assert_close(field.positions[0, 3], torch.tensor([1.5, 0.5, 0, 0]))
    torch.testing.assert_close(field.values[0, 3], values[0, 1, 1])
