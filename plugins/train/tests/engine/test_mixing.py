from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import Batch, ConfigError
from itnet_registry import create
from itnet_train import TrainConfig, train
from itnet_train.engine.mixing import create_mixing


def digits(seed: int, **fields: Any) -> tuple[Batch, Batch]:
    """Return a batch of constant images, whose colour is their class, and the same mixed."""
    mix = create_mixing(create("task", "digits"), TrainConfig(**fields))
    assert mix is not None
    classes = torch.arange(10)
    batch = Batch(classes.float().view(10, 1, 1, 1).expand(10, 1, 8, 8).clone(), classes)
    torch.manual_seed(seed)
    return batch, mix(deepcopy(batch))


def values(batch: Batch) -> Tensor:
    images: Tensor = batch.inputs
    return images.flatten(1)


@pytest.mark.parametrize("fields", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}], ids=str)
def test_the_probabilities_are_the_shares_of_the_pixels(fields: dict[str, float]) -> None:
    """An image's mean colour is then the mean of its classes."""
    for seed in range(5):
        _, mixed = digits(seed, **fields)
        assert mixed.targets.shape == (10, 10)
        torch.testing.assert_close(mixed.targets.sum(1), torch.ones(10))
        torch.testing.assert_close(values(mixed).mean(1), mixed.targets @ torch.arange(10.0), rtol=1e-4, atol=1e-4)


def test_mixup_blends_and_cutmix_pastes_and_both_take_turns() -> None:
    def pasted(**fields: float) -> set[bool]:
        return {bool((values(mixed) % 1 == 0).all()) for _, mixed in (digits(seed, **fields) for seed in range(9))}

    assert pasted(mixup=0.8) == {False}
    assert pasted(cutmix=1.0) == {True}
    assert pasted(mixup=0.8, cutmix=1.0) == {True, False}


def test_mixing_follows_from_the_seed() -> None:
    (_, first), (_, again), (_, other) = (digits(seed, mixup=0.8, cutmix=1.0) for seed in (3, 3, 4))
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.targets, again.targets)
    assert not torch.equal(first.inputs, other.inputs)


def test_by_default_nothing_is_mixed() -> None:
    assert create_mixing(create("task", "tones"), TrainConfig()) is None


def test_tasks_without_probabilities_or_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tones = create("task", "tones")
    with pytest.raises(ConfigError, match=r"train\.mixup: found 0\.8, with Tones, whose loss has no class prob"):
        create_mixing(tones, TrainConfig(mixup=0.8))
    monkeypatch.setattr(type(tones), "accepts_probabilities", True)
    mix = create_mixing(tones, TrainConfig(cutmix=1.0))
    assert mix is not None
    with pytest.raises(ConfigError, match=r"train\.cutmix: .*not a tensor of images"):
        mix(tones.collate([tones.dataset("train")[0]]))
    monkeypatch.setattr("itnet_train.engine.mixing.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'itnet-train\[torchvision\]'"):
        create_mixing(tones, TrainConfig(cutmix=1.0))


def test_training_mixes_and_repeats(tmp_path: Path, rows: Callable[[Path], list[dict[str, float]]]) -> None:
    task = {"name": "digits", "training_samples": 64}
    model = {"preset": "itnet-nano", "depth": 1, "encoder": {"name": "patch", "patch_size": 4}, "task": task}
    options: list[dict[str, float]] = [{}, {"mixup": 0.8}, {"cutmix": 1.0}, {"repeats": 2}]
    losses = set()
    for number, fields in enumerate(options):
        run = tmp_path / str(number)
        train({"model": model, "train": {"epochs": 1, "batch_size": 32, "accelerator": "cpu", **fields}}, run)
        losses.add(rows(run)[0]["train_loss"])
    assert len(losses) == 4
