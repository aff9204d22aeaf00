"""Newton's method finds the path of a trained LSTM, where its weights were fetched."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_path_of_a_trained_lstm_is_found_to_1e_6(monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    claims, parallel = import_module("claims"), import_module("parallel_lstm")
    if absent := claims.missing("resemblyzer"):
        pytest.skip(f"python examples/fetch_data.py {' '.join(absent)} was not run: there are no weights or data")
    mels = claims.spectrogram(claims.speech(claims.DATA)[:1])[:, :24]
    actual = list(parallel.solve(claims.speaker_encoder(claims.DATA).lstm, mels))
    assert [item.layer for item in actual] == [1, 2, 3]
    assert all(item.holds for item in actual), actual
