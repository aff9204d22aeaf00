"""The averaged weights are what is validated and saved, and those of the last step are what is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from itnet_train import evaluate, train
from itnet_train.callbacks.averaging import Averaging, averaged_weights

Weights = Callable[[Path], dict[str, torch.Tensor]]


class Parts(nn.Module):
    """A parameter of each kind of number, a running statistic, and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.real = nn.Parameter(torch.randn(3))
        self.complex = nn.Parameter(torch.randn(3, dtype=torch.complex64))
        self.register_buffer("mean", torch.randn(3))
        self.register_buffer("bound", torch.tensor([-torch.inf, 0.0]))
        self.register_buffer("indices", torch.tensor([7, 2**40 + 1]))


@pytest.mark.parametrize("decay", [0.05, 0.15, 0.999])
def test_it_is_the_moving_average_of_floats_and_the_last_of_integers(decay: float) -> None:
    averaging = Averaging(decay)
    averaging.start(Parts())
    expected: dict[str, torch.Tensor] = {}
    for step in range(4):
        model = Parts()
        averaging.add(model)
        share = min(decay, (1 + step) / (10 + step)) if step else 0.0
        for name, value in model.state_dict().items():
            expected[name] = value if name == "indices" or not step else share * expected[name] + (1 - share) * value
    torch.testing.assert_close(averaging.average, expected)


def test_the_context_lends_the_average_and_gives_the_weights_back() -> None:
    averaging, model = Averaging(0.9), Parts()
    averaging.start(Parts())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average = {name: value.clone() for name, value in averaging.average.items()}
    with averaged_weights(averaging, model):
        torch.testing.assert_close(dict(model.state_dict()), average, rtol=0, atol=0)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    torch.testing.assert_close(averaging.average, average, rtol=0, atol=0)


def test_the_checkpoint_is_the_average_and_has_the_validated_scores(
    sections: dict[str, Any], tmp_path: Path, weights: Weights
) -> None:
    """Averaging changes no step: the weights in the state are those of a run without it."""
    metrics = train({**sections, "train": {**sections["train"], "ema": 0.9}}, tmp_path / "run")
    train(sections, tmp_path / "plain")
    state = torch.load(tmp_path / "run/resume/state.ckpt", weights_only=True)["state_dict"]
    plain, last = weights(tmp_path / "plain/last"), weights(tmp_path / "run/last")
    assert all(torch.equal(state[f"model.{name}"], value) for name, value in plain.items())
    assert any(not torch.equal(last[name], value) for name, value in plain.items())
    assert evaluate(tmp_path / "run/best", "validation") == pytest.approx(metrics["validation"])
