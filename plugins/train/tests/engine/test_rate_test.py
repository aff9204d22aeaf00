from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback
from torch.utils.data import DataLoader

from itnet_train.config import TrainConfig
from itnet_train.engine import rate_test
from itnet_train.engine.model_run import ModelRun
from itnet_train.engine.optimizer import parameter_groups
from itnet_train.engine.rate_test import RateCurve, measure_rates
from itnet_train.engine.trainer import create_trainer


@settings(max_examples=30)
@given(centre=st.floats(-4, -2), noise=st.floats(0, 0.05), seed=st.integers(0, 9))
def test_the_suggestion_is_where_the_loss_falls(centre: float, noise: float, seed: int) -> None:
    """The loss falls from 2 to 1 around a rate, and explodes two decades above."""
    logs = np.linspace(-6, 0, 100)
    losses = 2 - 1 / (1 + 10 ** (-2 * (logs - centre))) + 10 ** (2 * (logs - centre - 2))
    losses += noise * np.random.default_rng(seed).standard_normal(100)
    means = [float(losses[max(0, step - 9) : step + 1].mean()) for step in range(100)]
    found = RateCurve([*(10**logs).tolist()], losses.tolist(), means).suggestion
    assert found is not None
    assert abs(np.log10(found) - centre) < 0.6


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0] * 9])
def test_a_loss_that_does_not_fall_has_no_suggestion(losses: list[float]) -> None:
    assert RateCurve([10.0**step for step in range(len(losses))], losses, losses).suggestion is None


def test_all_groups_grow_together_and_keep_their_factors(
    sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sections["train"] |= {"layer_decay": 0.5, "kernel_learning_rate_scale": 3.0, "schedule": "plateau", "warmup": 0.5}
    run, seen = ModelRun.from_sections(sections), []
    create = create_trainer

    class Watch(Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            seen.append([group["lr"] for group in optimizer.param_groups])

    monkeypatch.setattr(
        rate_test,
        "create_trainer",
        lambda config, callbacks, **options: create(config, callbacks=[*callbacks, Watch()], **options),
    )
    curve = measure_rates(run, lowest=1e-6, highest=1e-3, steps=13)
    factors = [group["lr"] / run.config.learning_rate for group in parameter_groups(run.model, run.config)]
    assert len({*factors}) > 3
    expected = [[rate * factor for factor in factors] for rate in curve.rates]
    torch.testing.assert_close(torch.tensor(seen), torch.tensor(expected))
    assert (len(curve.losses), curve.rates[0]) == (13, 1e-6)  # in more than two epochs
    assert curve.rates[-1] == pytest.approx(1e-3)


def test_a_rate_far_too_high_ends_the_test(sections: dict[str, Any]) -> None:
    curve = measure_rates(ModelRun.from_sections(sections), lowest=1.0, highest=1e9, steps=40)
    assert 1 <= len(curve.losses) == len(curve.means) == len(curve.rates) < 40


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_has_the_samples_of_all_processes(
    sections: dict[str, Any], accumulate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    fetch = DataLoader.__iter__

    def count(self: Any) -> Any:
        for batch in fetch(self):
            loaded.append(len(batch.batch.targets))
            yield batch

    monkeypatch.setattr(DataLoader, "__iter__", count)
    sections["train"] |= {"devices": 2, "batch_size": 8, "accumulate": accumulate}
    curve = measure_rates(ModelRun.from_sections(sections), lowest=1e-6, highest=1e-5, steps=4)
    assert len(curve.losses) == 4
    assert 4 * 2 * accumulate <= len(loaded) <= 4 * 2 * accumulate + 2  # the loader is ahead
    assert TrainConfig(**sections["train"]).processes == 2
