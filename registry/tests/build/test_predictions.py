from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import ConfigError
from itnet_registry import Registry
from itnet_registry.build.predictions import check_predictions


@pytest.mark.parametrize("training", [True, False])
def test_each_task_gets_predictions_of_its_modality_as_in_evaluation(registry: Registry, training: bool) -> None:
    model = registry.create_model(
        "toy",
        dropout=0.5,
        encoders={"image": "pixels", "text": "letters"},
        tasks={"image": "stripes", "text": "vowels"},
    ).train(training)
    examples = {"image": torch.randn(2, 4, 4, 1), "text": torch.zeros(2, 5, dtype=torch.long)}
    tasks: dict[str, Any] = {"image": registry.create("task", "stripes"), "text": registry.create("task", "vowels")}
    found: dict[str, Tensor] = {}
    for name, task in tasks.items():
        task.check_model = lambda predict, name=name: found.update({name: predict(examples[name])})
    check_predictions(model, tasks)
    assert model.training == training
    model.eval()
    for name, prediction in found.items():
        assert not prediction.requires_grad
        torch.testing.assert_close(prediction, model(examples[name], name))
    assert found.keys() == tasks.keys()


def test_a_refusal_leaves_the_model_in_training(registry: Registry) -> None:
    model = registry.create_model("toy", encoder="pixels", task="stripes")
    task = registry.create("task", "stripes")

    def refuse(predict: Callable[[Any], Tensor]) -> None:
        raise ConfigError("model", found="stripes of its own", expected="none")

    task.check_model = refuse
    with pytest.raises(ConfigError, match="stripes of its own"):
        check_predictions(model.train(), {"image": task})
    assert model.training
